"""`shell URL`: many commands in one conversation."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
from importlib import import_module
from typing import TYPE_CHECKING

import click

from ..errors import ClientError
from ..terminal import bold, plain, say
from .options import own_parameters
from .talking import ACTIONS, talking

if TYPE_CHECKING:
    from ..conversation import Conversation

_MODULES = {
    **{"tools": "tools", "call": "call", "resources": "resources", "read": "resources"},
    "subscribe": "subscribe",
    **{"prompts": "prompts", "prompt": "prompts", "complete": "complete", "raw": "raw"},
}
_HELP = f"{', '.join(_MODULES)}; COMMAND --help says more, exit ends."


@click.command(name="shell")
@talking
async def shell(server: Conversation) -> None:
    """Type commands one after the other; the session, and what the server keeps in it, stays."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  (its import gives input() a history)
    info = server.client.server_info
    say(bold(info.name if info is not None else server.url), f" speaks {server.client.protocol_version}.")
    say(_HELP)
    while (line := await asyncio.to_thread(_read)) is not None:
        try:
            words = shlex.split(line)
            if words[:1] in (["exit"], ["quit"]):
                return
            if words:
                await _do(server, words)
        except (ClientError, ValueError, click.ClickException) as problem:
            text = problem.format_message() if isinstance(problem, click.ClickException) else str(problem)
            say(text, err=True)
        except (click.exceptions.Exit, click.Abort):
            pass


async def _do(server: Conversation, words: list[str]) -> None:
    name, *rest = words
    if name not in _MODULES:
        say(f"There is no command {name!r}. There are {_HELP}", err=True)
        return
    command: click.Command = getattr(import_module(f"{__package__}.{_MODULES[name]}"), name)
    inside = click.Command(name, params=own_parameters(command), help=command.help)
    with inside.make_context(name, rest) as context:
        await ACTIONS[name](server, **context.params)


def _read() -> str | None:
    try:
        return input(plain("> "))
    except (EOFError, KeyboardInterrupt):
        return None
