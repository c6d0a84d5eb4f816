"""Logs go to stderr, one line each; what may be secret is never given to them."""

import asyncio
import logging
import sys
from typing import Any

NAME = "mcp-streamablehttp-client"


def set_up(*, verbose: bool) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(f"{NAME}: %(message)s"))
    logger = logging.getLogger(__package__)
    logger.handlers = [handler]
    logger.setLevel(logging.DEBUG if verbose else logging.WARNING)
    logger.propagate = False
    logging.getLogger().addHandler(logging.NullHandler())


def quiet_loop(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Instead of asyncio's tracebacks."""
    from .bridge import describe

    problem = context.get("exception")
    text = describe(problem) if problem is not None else context.get("message")
    logging.getLogger(__package__).debug("event loop: %s", text)
