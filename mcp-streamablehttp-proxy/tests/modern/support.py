"""A client of 2026-07-28 that shows the raw protocol, and children of one era only."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from mcp_streamablehttp_proxy.endpoint import Endpoint
from mcp_streamablehttp_proxy.modern_era import ModernEra
from mcp_streamablehttp_proxy.server.backing import Backing

from ..support import Command, Json, Running

VERSION = "2026-07-28"
PREFIX = "io.modelcontextprotocol/"
SERVERS = Path(__file__).parents[1] / "servers"
Commands = dict[str, Command]
COMMANDS: Commands = {name: (sys.executable, str(SERVERS / f"{name}.py")) for name in ("handshake", "modern")}
ALL: Json = {"elicitation": {"form": {}, "url": {}}, "sampling": {"tools": {}}, "roots": {}}
NAMES = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}


@dataclass
class Events:
    """Messages of an event stream as they arrive; None at its end."""

    response: httpx.Response

    def __post_init__(self) -> None:
        self._lines = self.response.aiter_lines()

    async def next(self) -> Any:
        async for line in self._lines:
            if line.startswith("data: "):
                return json.loads(line[6:])
        return None


@dataclass
class Modern:
    http: httpx.AsyncClient
    running: Running
    headers: dict[str, str] = field(default_factory=dict)
    capabilities: Json = field(default_factory=dict)
    path: str = "/mcp"
    _id: int = 0

    def request(self, method: str, /, meta: object = None, **params: Any) -> Json:
        """A request with its envelope; `meta` adds to that, or takes away with None."""
        self._id += 1
        envelope: Json = {
            f"{PREFIX}protocolVersion": VERSION,
            f"{PREFIX}clientInfo": {"name": "test", "version": "1"},
            f"{PREFIX}clientCapabilities": self.capabilities,
        }
        envelope.update(meta if isinstance(meta, dict) else {})
        params["_meta"] = {key: value for key, value in envelope.items() if value is not None}
        return {"jsonrpc": "2.0", "id": f"r{self._id}", "method": method, "params": params}

    def headers_for(self, body: Json, **others: str | None) -> dict[str, str]:
        headers: dict[str, str | None] = {
            "accept": "application/json, text/event-stream",
            "content-type": "application/json",
            "mcp-protocol-version": VERSION,
            "mcp-method": body.get("method"),
            **self.headers,
        }
        if (member := NAMES.get(body.get("method", ""))) is not None:
            headers["mcp-name"] = body["params"].get(member)
        headers.update({name.replace("_", "-"): value for name, value in others.items()})
        return {name: value for name, value in headers.items() if value is not None}

    async def post(self, body: Json, **headers: str | None) -> httpx.Response:
        return await self.http.post(self.path, json=body, headers=self.headers_for(body, **headers))

    async def ask(self, method: str, /, meta: object = None, **params: Any) -> Json:
        """The last message of the answer."""
        messages = read(await self.post(self.request(method, meta, **params)))
        last: Json = messages[-1]
        return last

    async def call(self, name: str, /, **arguments: Any) -> Json:
        return await self.ask("tools/call", name=name, arguments=arguments)

    async def text(self, name: str, /, **arguments: Any) -> str:
        answer = await self.call(name, **arguments)
        text: str = answer["result"]["content"][0]["text"]
        return text

    @contextlib.asynccontextmanager
    async def stream(self, body: Json, **headers: str) -> AsyncIterator[Events]:
        sent = self.headers_for(body, **headers)
        async with self.http.stream("POST", self.path, json=body, headers=sent) as response:
            yield Events(response)

    @contextlib.asynccontextmanager
    async def listen(self, **wanted: object) -> AsyncIterator[Events]:
        async with self.stream(self.request("subscriptions/listen", notifications=wanted)) as events:
            yield events

    def able(self, **capabilities: Any) -> Modern:
        """The same client with capabilities; all of them if none is named."""
        return Modern(self.http, self.running, self.headers, capabilities or ALL, self.path, self._id + 1000)

    def user(self, name: str) -> Modern:
        headers = {**self.headers, "x-user-id": name}
        return Modern(self.http, self.running, headers, self.capabilities, self.path)

    @property
    def era(self) -> ModernEra:
        """The part of the proxy that answers this client."""
        return self.endpoint.modern

    @property
    def endpoint(self) -> Endpoint:
        return self.running.app.hub.endpoints["default"]

    async def child(self) -> Backing:
        """The process that serves this client."""
        for place in self.endpoint.pool._all_places():
            await place.opening
            backend = place.backend
            assert backend is not None
            return backend.child
        raise LookupError


def read(response: httpx.Response) -> list[Any]:
    if response.headers["content-type"].startswith("text/event-stream"):
        return [json.loads(line[6:]) for line in response.text.splitlines() if line.startswith("data: ")]
    return [response.json()]


Front = Callable[..., Awaitable[Modern]]
"""Takes the child's name and options of the proxy."""
Impatient = Callable[..., Modern]
