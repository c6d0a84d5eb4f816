"""A server elsewhere that does to a request whatever a test wants."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.types import Receive, Scope, Send

from ..support import Json


@dataclass
class Asked:
    """One request as it arrived, and the ways to answer it."""

    method: str
    headers: dict[str, str]
    body: Json
    send: Send
    receive: Receive

    async def json(self, body: object, status: int = 200, **headers: str) -> None:
        await self.start(status, **{"content-type": "application/json", **headers})
        await self.more(json.dumps(body).encode(), last=True)

    async def text(self, text: str, status: int, **headers: str) -> None:
        await self.start(status, **{"content-type": "text/plain", **headers})
        await self.more(text.encode(), last=True)

    async def result(self, result: object, **headers: str) -> None:
        await self.json({"jsonrpc": "2.0", "id": self.body["id"], "result": result}, 200, **headers)

    async def events(self) -> None:
        await self.start(200, **{"content-type": "text/event-stream"})

    async def start(self, status: int, **headers: str) -> None:
        raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        await self.send({"type": "http.response.start", "status": status, "headers": raw})

    async def more(self, data: bytes, *, last: bool = False) -> None:
        await self.send({"type": "http.response.body", "body": data, "more_body": not last})

    async def gone(self) -> None:
        """Until the client has closed the connection."""
        while (await self.receive())["type"] != "http.disconnect":
            pass


Answer = Callable[[Asked], Awaitable[None]]

INITIALIZED: Json = {
    "protocolVersion": "2025-11-25",
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "scripted", "version": "1"},
}


@dataclass
class Scripted:
    """A handshake-only server; `answers` replaces what it does at an HTTP or a JSON-RPC method."""

    answers: dict[str, Answer] = field(default_factory=dict)
    seen: list[Asked] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while scope["method"] == "POST":
            event = await receive()
            body += event.get("body", b"")
            if not event.get("more_body"):
                break
        headers = {name.decode(): value.decode(errors="surrogateescape") for name, value in scope["headers"]}
        asked = Asked(scope["method"], headers, json.loads(body or b"{}"), send, receive)
        self.seen.append(asked)
        self.arrived.set()
        answer = self.answers.get(asked.body.get("method", "")) or self.answers.get(asked.method)
        await (answer or self._answer)(asked)

    async def _answer(self, asked: Asked) -> None:
        method = asked.body.get("method")
        if asked.method == "GET":
            await asked.text("no stream here", 405)
        elif method == "initialize":
            await asked.result(INITIALIZED, mcp_session_id="s1")
        elif method == "tools/call":
            await asked.result({"content": [{"type": "text", "text": "done"}]})
        elif "id" in asked.body:
            error = {"code": -32601, "message": "no such method"}
            await asked.json({"jsonrpc": "2.0", "id": asked.body["id"], "error": error})
        else:
            await asked.text("", 202)

    def asked(self, method: str) -> list[Asked]:
        """The requests of a JSON-RPC or an HTTP method."""
        return [one for one in self.seen if method in (one.method, one.body.get("method"))]


def said(response: Any) -> str:
    """The sentence of an error response."""
    text: str = response.json()["error"]["message"]
    return text
