"""A proxy in front of real child processes, and a client that shows the raw protocol."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from mcp_streamablehttp_proxy.app import create_app
from mcp_streamablehttp_proxy.servers import DEFAULT_NAME
from mcp_streamablehttp_proxy.settings import Server, Settings

from .support import SCRIPTED, Command, Eventually, Mount, Read, Running, Start, eventually, read, serving


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Start a proxy on a free port: `start(settings=..., command=..., isolation=...)`."""
    async with contextlib.AsyncExitStack() as stack:

        async def run(
            *servers: Server,
            settings: Settings | None = None,
            command: Command = SCRIPTED,
            **options: Any,
        ) -> Running:
            if not servers:
                options = {"stop_timeout": 1.0, **options}
                servers = (Server(name=DEFAULT_NAME, command=command, **options),)
            app = create_app(servers=servers, settings=settings)
            served = await stack.enter_async_context(serving(app))
            return Running(served.http, served.port, app)

        yield run


@pytest.fixture
async def proxy(start: Start) -> Running:
    """A proxy with the defaults in front of the scripted server."""
    return await start()


@pytest.fixture
def scripted() -> Command:
    return SCRIPTED


@pytest.fixture
def mount() -> Mount:
    """Serve any ASGI application."""
    return serving


@pytest.fixture(name="eventually")
def _eventually() -> Eventually:
    return eventually


@pytest.fixture(name="read")
def _read() -> Read:
    return read
