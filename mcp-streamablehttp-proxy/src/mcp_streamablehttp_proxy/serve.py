"""The proxy under uvicorn: one listening socket, signals, a graceful end."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Final

import uvicorn

from .app import ProxyApp, create_app
from .protocol import LeanProtocol
from .settings import Settings, SettingsError

_KEEP_ALIVE: Final = 180
"""Seconds an idle connection stays open: longer than the pool of the reverse proxy in front, which could
otherwise send a request on a connection that is being closed."""

_GRACE: Final = 30
"""Seconds that calls in flight are given at shutdown."""

_YOUNG: Final = 20_000
"""Objects made before a collection looks for cycles among them; calls leave none behind."""

_BACKLOG: Final = 2048
"""Connections that may wait to be accepted."""


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, app: ProxyApp, on_hangup: Callable[[], None] | None) -> None:
        super().__init__(config)
        self._app = app
        self._on_hangup = on_hangup

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._on_hangup or (lambda: None))
        await super().startup(sockets)
        gc.collect()
        gc.freeze()  # what is loaded by now stays: no collection has to walk it again
        gc.set_threshold(_YOUNG)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._app.hub.drain()
        super().handle_exit(sig, frame)


def listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections from now on. Raises SettingsError when the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(_BACKLOG)
    except OSError as problem:
        sock.close()
        raise SettingsError(
            f"cannot listen on {host} port {port}: {problem.strerror}; "
            "choose another with --host and --port (MCP_BIND_HOST, MCP_PORT)"
        ) from None
    return sock


def serve(app: ProxyApp, sock: socket.socket, *, on_hangup: Callable[[], None] | None = None) -> None:
    """Serve until SIGINT or SIGTERM; calls in flight are finished, then every child is ended."""
    config = uvicorn.Config(
        app,
        http=LeanProtocol,
        access_log=False,
        log_config=None,
        lifespan="on",
        ws="none",
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=_GRACE,
    )
    server = _Server(config, app, on_hangup)
    server.run(sockets=[sock])


def run_server(
    server_command: str | Sequence[str],
    host: str = "127.0.0.1",
    port: int = 3000,
    session_timeout: float = 300.0,
) -> None:
    """Serve one stdio server at http://HOST:PORT/mcp until interrupted. Raises SettingsError."""
    settings = Settings(host=host, port=port)
    app = create_app(server_command, session_timeout, settings=settings)
    serve(app, listen(host, port))
