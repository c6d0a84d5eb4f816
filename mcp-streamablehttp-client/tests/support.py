"""What the fixtures of this package are: a server on loopback, a finished command, a host of the bridge."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from mcp.server.mcpserver import Context
from starlette.types import ASGIApp

Json = dict[str, Any]
"""An object of JSON."""
JsonRpc = Any
"""A message as JSON brought it; None where a request had no body."""

COMMAND = [sys.executable, "-m", "mcp_streamablehttp_client"]


@contextmanager
def serving(make: Callable[[str], ASGIApp]) -> Iterator[str]:
    """Serve what `make(origin)` returns in a thread; yields the origin."""
    listener = socket.create_server(("127.0.0.1", 0))
    origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
    config = uvicorn.Config(make(origin), log_level="critical", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield origin
    finally:
        server.should_exit = True
        thread.join(60)
        listener.close()


def sdk_server() -> ASGIApp:
    from mcp.server import MCPServer
    from pydantic import BaseModel

    server = MCPServer("fixture")

    class Name(BaseModel):
        name: str

    @server.tool()
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    @server.tool()
    def fail() -> str:
        raise ValueError("it went wrong")

    @server.tool()
    async def wait(seconds: float) -> str:
        await asyncio.sleep(seconds)
        return f"waited {seconds}"

    @server.tool()
    async def greet(ctx: Context[Any, Any]) -> str:
        """Asks the host's user for a name, telling about progress meanwhile."""
        await ctx.report_progress(1, 2)
        answer = await ctx.elicit("Who?", Name)
        return f"Hello {getattr(answer, 'data', None) and answer.data.name}"  # type: ignore[union-attr]

    return server.streamable_http_app()


@dataclass
class Finished:
    status: int
    stdout: str
    stderr: str


class Host:
    """A stdio host that speaks raw lines."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[bytes] = []
        self._errors = asyncio.create_task(process.stderr.read())  # type: ignore[union-attr]
        self._closed = False

    def send(self, message: JsonRpc) -> None:
        line = message if isinstance(message, bytes) else json.dumps(message).encode()
        self.process.stdin.write(line + b"\n")  # type: ignore[union-attr]

    def request(self, identifier: str | int, method: str, params: Json | None = None, **extra: Any) -> None:
        self.send({"jsonrpc": "2.0", "id": identifier, "method": method, "params": params or {}, **extra})

    async def line(self) -> bytes:
        line: bytes = await asyncio.wait_for(self.process.stdout.readline(), 90)  # type: ignore[union-attr]
        assert line, "the bridge ended"
        self.lines.append(line)
        return line

    async def message(self) -> Json:
        message: Json = json.loads(await self.line())
        return message

    async def answer(self, identifier: str | int) -> Json:
        while (message := await self.message()).get("id") != identifier or "method" in message:
            pass
        return message

    async def handshake(self, version: str = "2025-11-25", **capabilities: Any) -> Json:
        client = {"name": "host", "version": "1"}
        self.request(
            "init",
            "initialize",
            {"protocolVersion": version, "capabilities": capabilities, "clientInfo": client},
        )
        answer = await self.answer("init")
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return answer

    async def close(self) -> tuple[int, str]:
        """Exit status and what was written to stderr; stdout held nothing but JSON-RPC."""
        if not self._closed:
            self._closed = True
            self.process.stdin.close()  # type: ignore[union-attr]
            rest = await asyncio.wait_for(self.process.stdout.read(), 90)  # type: ignore[union-attr]
            await asyncio.wait_for(self.process.wait(), 90)
            for line in [*self.lines, *rest.splitlines()]:
                assert json.loads(line)["jsonrpc"] == "2.0"
        errors = (await self._errors).decode()
        assert "Traceback" not in errors
        return self.process.returncode or 0, errors


Serve = Callable[[ASGIApp], str]
"""serve(app) -> origin"""
ServeWithOrigin = Callable[[Callable[[str], ASGIApp]], str]
"""serve_with_origin(make_app) -> origin, which make_app was given"""
Run = Callable[..., Awaitable[Finished]]
"""await run("tools", url): one command, as a person types it."""
StartBridge = Callable[..., Awaitable[Host]]
"""host = await bridge(url, *options)"""
