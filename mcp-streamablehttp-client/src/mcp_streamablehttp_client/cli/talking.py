"""What the commands that talk to a server have in common."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from ..credentials.store import Store
from ..logs import quiet_loop
from ..settings import Settings
from ..terminal import one_line, say
from . import completion
from .options import connection

if TYPE_CHECKING:
    from ..conversation import Conversation

Action = Callable[..., Awaitable[int | None]]
"""What a command does, given the conversation and its own options; the exit status, 0 if None."""

ACTIONS: dict[str, Action] = {}
"""By the command's name; the shell runs them in one conversation."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print the server's own JSON.")


def talking(action: Action) -> Callable[..., Any]:
    """The function of a command: connects, and does the action."""
    ACTIONS[action.__name__] = action

    @connection
    @wraps(action)
    def run(settings: Settings, **options: Any) -> None:
        if status := asyncio.run(_converse(settings, action, options)):
            sys.exit(status)

    return run


async def _converse(settings: Settings, action: Action, options: dict[str, Any]) -> int | None:
    from ..conversation import conversation
    from .questions import ask

    asyncio.get_running_loop().set_exception_handler(quiet_loop)
    verbose = logging.getLogger("mcp_streamablehttp_client").isEnabledFor(logging.DEBUG)
    async with conversation(
        settings,
        ask=ask if sys.stdin.isatty() else None,
        on_log=_log if verbose else None,
        on_fault=lambda text: say(text, err=True),
    ) as server:
        return await action(server, **options)


async def _log(params: Any) -> None:
    say(f"[{params.level}] {one_line(str(params.data))}", err=True)


async def tools_of(server: Conversation) -> list[dict[str, Any]]:
    """The server's tools; their names and arguments are kept for the shell's completion."""
    found = await server.list("tools")
    completion.remember(Store(), server.url, found)
    return found


def described(item: dict[str, Any]) -> str:
    """The first line of what a server says about one of its things."""
    text = str(item.get("description") or item.get("title") or "").strip()
    return text.splitlines()[0] if text else ""
