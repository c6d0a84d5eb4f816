"""The proxy under uvicorn: one listening socket, signals, a graceful end."""

from __future__ import annotations

import gc
import socket
from collections.abc import Callable, Sequence
from functools import partial

from ._common import serving
from .app import ProxyApp, create_app
from .settings import Settings

_LAST_WORDS = 3
"""Seconds before the end of the grace at which open calls are answered with an error."""

_GRACE = 30
"""Seconds that calls in flight are given at shutdown, after the drain."""

_YOUNG = 20_000
"""Objects made before a collection looks for cycles among them; calls leave none behind."""


def serve(app: ProxyApp, sock: socket.socket, *, on_hangup: Callable[[], None] | None = None) -> None:
    """Serve until SIGINT or SIGTERM; calls in flight are finished, then every child is ended."""
    served = serving.server(
        app,
        grace=_GRACE,
        drain=app.hub.settings.drain,
        at_end=partial(app.hub.drain, _GRACE - _LAST_WORDS),
        hangup=on_hangup or (lambda: None),
        access_log=False,
        log_config=None,
        lifespan="on",
    )
    gc.collect()
    gc.freeze()  # what is loaded by now stays: no collection has to walk it again
    gc.set_threshold(_YOUNG)
    serving.serve(served, sock)


def run_server(
    server_command: str | Sequence[str],
    host: str = "127.0.0.1",
    port: int = 3000,
    session_timeout: float = 300.0,
) -> None:
    """Serve one stdio server at http://HOST:PORT/mcp until interrupted.

    Raises SettingsError and CannotListenError.
    """
    settings = Settings(host=host, port=port)
    app = create_app(server_command, session_timeout, settings=settings)
    serve(app, serving.listen(host, port))
