"""uvicorn, and an end that an edge sees coming."""

from __future__ import annotations

import signal
import sys

import uvicorn

from ._common.draining import DrainingServer
from ._common.http_spans import traced
from .app import Gateway
from .endpoints.asked import is_question
from .settings import Settings

KEEP_ALIVE = 180
"""Seconds an idle connection stays open: longer than the pool of the reverse proxy in front, which could
otherwise send a request on a connection that is being closed."""
GRACE = 10
"""Seconds that requests under way have to end."""


def run(app: Gateway, settings: Settings, *, host: str, port: int, log_level: str, drain: float) -> None:
    config = uvicorn.Config(
        traced(app, lambda path: "/verify" if is_question(path) else None),
        host=host,
        port=port,
        log_level=log_level,
        access_log=False,  # the query of an authorization request or a callback holds codes
        server_header=False,
        proxy_headers=False,  # client_address.py reads them
        ws="none",  # nothing here speaks it: a request that asks for an upgrade is a request like any other
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=GRACE,
    )

    def say_so() -> None:
        app.ending = True

    server = DrainingServer(config, drain, say_so)
    try:
        server.run()
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)  # as a program that was interrupted does
    if not server.started:
        raise SystemExit(3)  # uvicorn has said why
