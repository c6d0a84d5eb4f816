"""Logs go to stderr, one line each; what may be secret is never given to them."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any

from .errors import causes, describe
from .terminal import one_line

NAME = "mcp-streamablehttp-client"


class _OneLine(logging.Formatter):
    """An error that a line is about is followed by what it was made of."""

    def format(self, record: logging.LogRecord) -> str:
        told = record.args if isinstance(record.args, tuple) else ()
        made_of = "".join(causes(problem) for problem in told if isinstance(problem, BaseException))
        return one_line(super().format(record) + made_of)


def set_up(*, verbose: bool) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine(f"{NAME}: %(message)s"))
    logger = logging.getLogger(__package__)
    logger.handlers = [handler]
    logger.setLevel(logging.DEBUG if verbose else logging.WARNING)
    logger.propagate = False
    logging.getLogger().addHandler(logging.NullHandler())


def quiet_loop(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Instead of asyncio's tracebacks."""
    problem = context.get("exception")
    text = describe(problem) if problem is not None else context.get("message")
    logging.getLogger(__package__).debug("event loop: %s", text)
