"""A host inside the test's process, and a bridge between it and a server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from mcp_streamablehttp_client.bridge import Bridge
from mcp_streamablehttp_client.oauth.authorizer import NoAuthorization
from mcp_streamablehttp_client.settings import Settings
from mcp_streamablehttp_client.transport import Authorization, Transport

from .support import Json


class MemoryHost:
    """Implements host.Host inside this process."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.outgoing: asyncio.Queue[Json] = asyncio.Queue()

    def start(self, on_host_gone: Callable[[], None]) -> None: ...

    async def lines(self) -> AsyncIterator[bytes]:
        while (line := await self.incoming.get()) is not None:
            yield line

    def write(self, line: bytes) -> None:
        self.outgoing.put_nowait(json.loads(line))

    async def close(self, seconds: float) -> None: ...

    def say(self, message: Json) -> None:
        self.incoming.put_nowait(json.dumps({"jsonrpc": "2.0", **message}).encode())

    async def ask(self, identifier: str | int, method: str, params: Json | None = None) -> Json:
        """The one answer to a request."""
        self.say({"id": identifier, "method": method, "params": params or {}})
        async with asyncio.timeout(90):
            answer = await self.outgoing.get()
        assert answer["id"] == identifier, answer
        assert self.outgoing.empty()
        return answer

    async def handshake(self, **capabilities: Any) -> Json:
        params = {
            "protocolVersion": "2025-11-25",
            "capabilities": capabilities,
            "clientInfo": {"name": "host", "version": "1"},
        }
        answer = await self.ask("init", "initialize", params)
        if "result" in answer:
            self.say({"method": "notifications/initialized"})
        return answer


@asynccontextmanager
async def running(settings: Settings, authorization: Authorization) -> AsyncIterator[MemoryHost]:
    """A bridge in this process."""
    host = MemoryHost()
    relaying = asyncio.create_task(Bridge(Transport(settings, authorization), host).run())
    try:
        yield host
    finally:
        host.incoming.put_nowait(None)
        await relaying


@asynccontextmanager
async def bridged(url: str) -> AsyncIterator[MemoryHost]:
    """A bridge to an open server, its handshake done."""
    async with running(Settings(server_url=url, timeout=60), NoAuthorization()) as host:
        assert "result" in await host.handshake()
        yield host
