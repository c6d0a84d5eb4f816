"""What the fixtures of this package are: a proxy in front of real processes, and a client of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from mcp_streamablehttp_proxy._common.serving import listen
from mcp_streamablehttp_proxy.app import ProxyApp
from mcp_streamablehttp_proxy.servers import DEFAULT_NAME
from starlette.types import ASGIApp

Json = dict[str, Any]
"""A JSON object."""
Command = tuple[str, ...]

SCRIPTED: Command = (sys.executable, str(Path(__file__).parent / "servers" / "scripted.py"))
BOTH = "application/json, text/event-stream"


@dataclass
class Client:
    """Speaks the handshake era. `headers` go out with every request."""

    http: httpx.AsyncClient
    headers: dict[str, str] = field(default_factory=dict)
    path: str = "/mcp"
    session: str | None = None
    _id: int = 0

    async def post(self, body: object, **headers: str) -> httpx.Response:
        content = body if isinstance(body, bytes | str) else json.dumps(body)
        sent = {"accept": BOTH, "content-type": "application/json", **self.headers}
        if self.session:
            sent["mcp-session-id"] = self.session
        for name, value in headers.items():
            sent[name.replace("_", "-")] = value
        return await self.http.post(self.path, content=content, headers=sent)

    async def initialize(self, version: str = "2025-11-25", **capabilities: Any) -> Json:
        response = await self.post(self.initialization(version, **capabilities))
        assert response.status_code == 200, response.text
        self.session = response.headers["mcp-session-id"]
        accepted = await self.post({"jsonrpc": "2.0", "method": "notifications/initialized"})
        assert accepted.status_code == 202
        result: Json = response.json()["result"]
        return result

    @staticmethod
    def initialization(version: str = "2025-11-25", **capabilities: Any) -> Json:
        params = {
            "protocolVersion": version,
            "capabilities": capabilities,
            "clientInfo": {"name": "test", "version": "1"},
        }
        return {"jsonrpc": "2.0", "id": "init", "method": "initialize", "params": params}

    def tool(self, name: str, meta: object = None, /, **arguments: Any) -> Json:
        self._id += 1
        params: Json = {"name": name, "arguments": arguments}
        if meta is not None:
            params["_meta"] = meta
        return {"jsonrpc": "2.0", "id": self._id, "method": "tools/call", "params": params}

    async def call(self, name: str, /, **arguments: Any) -> str:
        """The text a tool answers."""
        response = await self.post(self.tool(name, **arguments))
        assert response.status_code == 200, response.text
        messages = read(response)
        text: str = messages[-1]["result"]["content"][0]["text"]
        return text

    @contextlib.asynccontextmanager
    async def listen(self, **headers: str) -> AsyncIterator[Events]:
        """The GET stream."""
        sent = {"accept": "text/event-stream", "mcp-session-id": self.session or "", **self.headers}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.http.stream("GET", self.path, headers=sent) as response:
            yield Events(response)

    @contextlib.asynccontextmanager
    async def stream(self, body: object) -> AsyncIterator[Events]:
        """A POST whose answer is read as it comes."""
        sent = {"accept": BOTH, "content-type": "application/json", **self.headers}
        sent["mcp-session-id"] = self.session or ""
        async with self.http.stream("POST", self.path, json=body, headers=sent) as response:
            yield Events(response)

    async def delete(self) -> httpx.Response:
        return await self.http.delete(
            self.path, headers={"mcp-session-id": self.session or "", **self.headers}
        )


class Events:
    """SSE events as they arrive."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()

    async def next(self) -> dict[str, str]:
        found: dict[str, str] = {}
        async for line in self._lines:
            if line:
                name, _, value = line.partition(":")
                if name:
                    found[name] = value.removeprefix(" ")
            elif found:
                return found
        raise EOFError

    async def message(self) -> Any:
        """The next message, past events without data."""
        while True:
            event = await self.next()
            if event.get("data"):
                return json.loads(event["data"])


def read(response: httpx.Response) -> list[Any]:
    """All messages of an answer, whether JSON or events."""
    if response.headers["content-type"].startswith("text/event-stream"):
        lines = response.text.splitlines()
        return [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    body = response.json()
    return body if isinstance(body, list) else [body]


@dataclass
class Served:
    """An application that is served on a free port."""

    http: httpx.AsyncClient
    port: int

    def client(self, path: str = "/mcp", **headers: str) -> Client:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return Client(self.http, sent, path)

    async def opened(self, **headers: str) -> Client:
        client = self.client(**headers)
        await client.initialize()
        return client


@dataclass
class Running(Served):
    app: ProxyApp

    def alive(self, name: str = DEFAULT_NAME) -> int:
        return self.app.hub.endpoints[name].pool.children


Start = Callable[..., Awaitable[Running]]
"""Takes servers, or settings, a command and options of the one server."""
Mount = Callable[[ASGIApp], contextlib.AbstractAsyncContextManager[Served]]
Eventually = Callable[[Callable[[], object]], Awaitable[None]]
Read = Callable[[httpx.Response], list[Any]]


@contextlib.asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[Served]:
    sock = listen("127.0.0.1", 0)
    port = sock.getsockname()[1]
    config = uvicorn.Config(app, log_config=None, lifespan="on", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve([sock]))
    base = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient(base_url=base, timeout=60, trust_env=False) as http:
        while not server.started:
            await asyncio.sleep(0.01)
        yield Served(http, port)
    server.should_exit = True
    await task
    sock.close()


async def eventually(condition: Callable[[], object]) -> None:
    """Wait until a condition holds; pytest's own timeout ends a wait in vain."""
    while not condition():
        await asyncio.sleep(0.01)
