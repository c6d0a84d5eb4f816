"""A server that breaks the connection at a chosen byte, and counts what it did before."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from .support import Json


@dataclass
class Cut:
    """After `at` bytes of the next request, or of its answer once it was executed."""

    of: str
    at: int
    reset: bool


class CuttingServer:
    """Speaks just enough HTTP/1.1 and MCP; `form` is how answers are framed."""

    def __init__(self) -> None:
        self.executed: Counter[str] = Counter()
        self.form = "length"
        self.cut: Cut | None = None
        self.request_bytes = 0
        self.answer_bytes = 0
        self.port = 0
        self.kept = 0
        self._peers: set[object] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while await self._exchange(await reader.readexactly(1), reader, writer):
                pass
        except (asyncio.IncompleteReadError, asyncio.CancelledError, OSError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _exchange(
        self, first: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        peer = writer.get_extra_info("peername")
        self.kept += peer in self._peers
        self._peers.add(peer)
        cut, self.cut = self.cut, None
        if cut is not None and cut.of == "request":
            await reader.readexactly(max(cut.at - 1, 0))
            _break(writer, cut.reset)
            return False
        head = first + await reader.readuntil(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().lower().split("\r\n")[1:] if line)
        body = await reader.readexactly(int(fields.get("content-length", 0)))
        self.request_bytes = len(head) + len(body)
        answer = self._execute(head.split(b" ", 1)[0].decode(), body)
        self.answer_bytes = len(answer)
        if cut is not None:
            writer.write(answer[: cut.at])
            await writer.drain()
            _break(writer, cut.reset)
            return False
        writer.write(answer)
        await writer.drain()
        return True

    def _execute(self, verb: str, body: bytes) -> bytes:
        message = json.loads(body) if body else {}
        method = message.get("method", verb)
        self.executed[method] += 1
        if verb != "POST":
            return b"HTTP/1.1 405 Method Not Allowed\r\nAllow: POST\r\nContent-Length: 0\r\n\r\n"
        if "id" not in message:
            return b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
        result: Json = {"done": method, "resultType": "complete"}
        if method == "initialize":
            result = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "x"}}
        text = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode()
        return b"HTTP/1.1 200 OK\r\nMcp-Session-Id: s\r\n" + _framed(text, self.form)


def _framed(text: bytes, form: str) -> bytes:
    if form == "length":
        return b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text)
    if form == "events":
        text = b"event: message\ndata: " + text + b"\n\n"
        kind = b"text/event-stream"
    else:
        kind = b"application/json"
    half = len(text) // 2
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (text[:half], text[half:]))
    return b"Content-Type: " + kind + b"\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


def _break(writer: asyncio.StreamWriter, reset: bool) -> None:
    if reset:
        connection = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
    else:
        writer.close()


@asynccontextmanager
async def cutting() -> AsyncIterator[CuttingServer]:
    server = CuttingServer()
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for task in tuple(server._tasks):
            task.cancel()
        await asyncio.gather(*server._tasks, return_exceptions=True)
