"""How a native server is served, as its settings say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .last_answers import LastAnswers
from .serving import listen, serve, server

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from .server_settings import ServerSettings

GRACE = 5
"""Seconds that calls in flight are given at the end."""


def run(app: ASGIApp, settings: ServerSettings) -> None:
    """Blocks until a signal, then answers what was asked before. Raises CannotListenError."""
    answers = LastAnswers(app)
    served = server(
        answers,
        grace=GRACE,
        drain=settings.drain,
        at_end=answers.end,
        http="h11",
        log_level="debug" if settings.debug else "info",
    )
    serve(served, listen(settings.bind_host, settings.port))
