"""One listening socket under uvicorn until SIGINT or SIGTERM, and a graceful end."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import uvicorn

from .draining import DrainingServer
from .http_spans import traced

if TYPE_CHECKING:
    from types import FrameType

    from starlette.types import ASGIApp, Receive, Scope, Send

KEEP_ALIVE = 180
"""Seconds an idle connection stays open: longer than the pool of the reverse proxy in front, which could
otherwise send a request on a connection that is being closed."""

BACKLOG = 2048
"""Connections that may wait to be accepted."""


def _route(path: str) -> str | None:
    return "/mcp" if path.rstrip("/").rpartition("/")[2] == "mcp" else None


class CannotListenError(Exception):
    """The address is taken or not ours; the message is one line."""


def listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections from now on; port 0 takes a free one. Raises CannotListenError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise CannotListenError(
            f"cannot listen on {host} port {port}: {error.strerror or error}; "
            "choose another with --host and --port (MCP_BIND_HOST, MCP_PORT)"
        ) from error
    return listener


def address(listener: socket.socket) -> str:
    """`http://127.0.0.1:3000`, where a socket listens."""
    host, port, *_ = listener.getsockname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Health:
    """A layer in front of an application whose process may be about to end: its health checks say so with
    503."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._ending = False

    def say_so(self) -> None:
        self._ending = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._ending and scope["type"] == "http" and str(scope["path"]).endswith("/health"):
            from starlette.responses import JSONResponse

            said = {"status": "unhealthy", "reason": "this instance is about to end"}
            await JSONResponse(said, 503)(scope, receive, send)
        else:
            await self.app(scope, receive, send)


class Server(DrainingServer):
    """uvicorn, with what an application wants to know of signals.

    `at_end` is called at the end of draining, before open requests are waited for: standing streams, which
    would keep the process until its grace is over, are ended by it. `hangup` is called at SIGHUP.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        drain: float,
        say_so: Callable[[], None],
        at_end: Callable[[], None] | None = None,
        hangup: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(config, drain, say_so)
        self._at_end = at_end
        self._hangup = hangup

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        if self._hangup is not None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._hangup)
        await super().startup(sockets)

    def end(self, sig: int, frame: FrameType | None) -> None:
        if self._at_end is not None:
            self._at_end()
        super().end(sig, frame)


def server(
    app: ASGIApp,
    *,
    grace: int,
    drain: float = 0,
    at_end: Callable[[], None] | None = None,
    hangup: Callable[[], None] | None = None,
    **options: Any,
) -> Server:
    """`drain`: seconds from SIGTERM in which everything is still answered, and health checks soon say 503.
    `grace`: seconds that requests in flight are given after them. `options` are uvicorn's."""
    health = Health(app)
    config = uvicorn.Config(
        traced(health if drain else app, _route),
        ws="none",
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=grace,
        **options,
    )
    return Server(config, drain, health.say_so, at_end, hangup)


def serve(server: Server, listener: socket.socket) -> None:
    """Blocks until a signal, then ends as a program that was interrupted does."""
    logging.getLogger("uvicorn.error").info("Listening on %s/mcp", address(listener))
    with listener:
        try:
            server.run(sockets=[listener])
        except KeyboardInterrupt:
            sys.exit(128 + signal.SIGINT)
