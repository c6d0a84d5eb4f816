"""A client that speaks raw HTTP, so that it can break off anywhere."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

MODERN = "2026-07-28"
_PREFIX = "io.modelcontextprotocol/"


class Connection:
    """One TCP connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def status(self) -> tuple[int, dict[str, str]]:
        """Status and headers of the next answer."""
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        lines = (line.split(": ", 1) for line in head[1:] if line)
        return int(head[0].split()[1]), {name.lower(): value for name, value in lines}

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """The next answer; of an event stream, which it is on a busy machine, the last message."""
        status, headers = await self.status()
        if "content-length" in headers:
            return status, headers, await self._reader.readexactly(int(headers["content-length"]))
        messages = [line[6:] for line in (await self.end()).splitlines() if line.startswith(b"data: {")]
        return status, headers, messages[-1]

    async def event(self) -> None:
        """Wait for an event that carries a message."""
        await self._reader.readuntil(b"data: {")

    async def end(self) -> bytes:
        """Everything until the other side closes or the event stream ends."""
        return await self._reader.readuntil(b"0\r\n\r\n")

    def close(self) -> None:
        """As a client that exits: FIN."""
        self._writer.close()

    def cut(self) -> None:
        """As a client whose network goes: RST."""
        raw = self._writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


@dataclass
class Visitor:
    """One client, signed in as `user`."""

    port: int
    user: str
    hesitation: float
    """Seconds before it breaks something off."""
    session: str | None = None
    _open: list[Connection] = field(default_factory=list)

    async def connect(self) -> Connection:
        connection = Connection(*await asyncio.open_connection("127.0.0.1", self.port))
        self._open.append(connection)
        return connection

    async def hesitate(self) -> None:
        await asyncio.sleep(self.hesitation)

    def leave(self) -> None:
        """Close whatever is still open."""
        for connection in self._open:
            connection.close()

    # requests as bytes

    def head(self, method: str, length: int | None, **headers: str) -> bytes:
        sent = {
            "Host": "127.0.0.1",
            "X-User-Id": self.user,
            "Accept": "application/json, text/event-stream",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        if self.session and "Mcp-Session-Id" not in sent:
            sent["Mcp-Session-Id"] = self.session
        if length is not None:
            sent |= {"Content-Type": "application/json", "Content-Length": str(length)}
        lines = (f"{name}: {value}\r\n" for name, value in sent.items())
        return f"{method} /mcp HTTP/1.1\r\n{''.join(lines)}\r\n".encode()

    def post(self, method: str, params: dict[str, Any], **headers: str) -> bytes:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        return self.head("POST", len(body), **headers) + body

    def initialization(self) -> bytes:
        params = {
            "protocolVersion": "2025-11-25",
            "capabilities": {"sampling": {}},
            "clientInfo": {"name": "visitor", "version": "1"},
        }
        return self.post("initialize", params)

    def call(self, tool: str, **headers: str) -> bytes:
        return self.post("tools/call", {"name": tool, "arguments": {}}, **headers)

    def stateless(self, method: str, **params: Any) -> bytes:
        """A request of 2026-07-28."""
        meta = {f"{_PREFIX}protocolVersion": MODERN, f"{_PREFIX}clientCapabilities": {}}
        headers = {"MCP_Protocol_Version": MODERN, "Mcp_Method": method}
        if "name" in params:
            headers["Mcp_Name"] = params["name"]
        return self.post(method, {**params, "_meta": meta}, **headers)

    # a session

    async def opened(self) -> Connection:
        """Initialize; the connection it came on is free for more."""
        connection = await self.connect()
        connection.send(self.initialization())
        status, headers, body = await connection.answer()
        assert status == 200, body
        self.session = headers["mcp-session-id"]
        return connection


@contextmanager
def visitor(port: int, user: str, hesitation: float = 0.0) -> Iterator[Visitor]:
    one = Visitor(port, user, hesitation)
    try:
        yield one
    finally:
        one.leave()
