"""`mcp-streamablehttp-client URL`: the stdio MCP server."""

from __future__ import annotations

import asyncio
import contextlib
import signal

import click

from ..bridge import Bridge
from ..connect import transport_for
from ..logs import quiet_loop
from ..settings import Settings
from ..stdio import take_over
from .options import connection


@click.command()
@connection
def run(settings: Settings) -> None:
    """Be a stdio MCP server that is really the remote one (the default command)."""
    host = take_over()

    async def relayed() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(quiet_loop)
        relay = Bridge(transport_for(settings, outlives_host=True), host)
        for name in ("SIGTERM", "SIGINT", "SIGHUP"):
            if number := getattr(signal, name, None):
                with contextlib.suppress(NotImplementedError):
                    loop.add_signal_handler(number, relay.stop)
        await relay.run()

    asyncio.run(relayed())
