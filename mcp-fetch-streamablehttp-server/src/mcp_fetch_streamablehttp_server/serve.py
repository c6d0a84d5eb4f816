"""Run an app under uvicorn until SIGINT or SIGTERM; open streams get a few seconds to end."""

import logging
import socket
import sys

import uvicorn
from starlette.types import ASGIApp

GRACE = 5
BACKLOG = 2048
KEEP_ALIVE = 180
"""Seconds an idle connection stays open: longer than the pool of the reverse proxy in front, which could
otherwise send a request on a connection that is being closed."""


class CannotListen(Exception):
    """The address is taken or not ours; the message is one line."""


def serve(app: ASGIApp, host: str, port: int, *, debug: bool = False) -> None:
    """Blocks. Raises CannotListen before anything is started."""
    with listen(host, port) as listener:
        server = configure(app, "debug" if debug else "info")
        address, bound, *_ = listener.getsockname()
        shown = f"[{address}]" if ":" in address else address
        logging.getLogger("uvicorn.error").info("Listening on http://%s:%d/mcp", shown, bound)
        try:
            server.run(sockets=[listener])
        except KeyboardInterrupt:
            sys.exit(130)


def configure(app: ASGIApp, log_level: str) -> uvicorn.Server:
    config = uvicorn.Config(
        app,
        log_level=log_level,
        http="h11",  # trims whitespace around header values, as RFC 9110 5.5 asks; httptools does not
        ws="none",
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=GRACE,
    )
    return uvicorn.Server(config)


def listen(host: str, port: int) -> socket.socket:
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
        reason = error.strerror or str(error)
        raise CannotListen(
            f"Cannot listen on {host} port {port}: {reason}. Choose another with --port or MCP_PORT."
        ) from None
    return listener
