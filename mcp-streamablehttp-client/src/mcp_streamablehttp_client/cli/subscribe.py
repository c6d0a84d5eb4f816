"""`subscribe URL [URI ...]`: what changes, as the server says it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from ..terminal import bold, escaped, one_line, say
from .talking import json_option, talking

if TYPE_CHECKING:
    from ..conversation import Conversation


@click.command(name="subscribe")
@talking
@click.argument("uris", nargs=-1, metavar="[URI]...")
@click.option("--count", type=click.IntRange(min=1), help="End after so many changes; else Ctrl-C does.")
@json_option
async def subscribe(server: Conversation, uris: tuple[str, ...], count: int | None, as_json: bool) -> int:
    """Tell when resources change, until Ctrl-C; without URI, when a list of the server does.

    With --json each line is one notification of the server. Exit status 1 when the server ends it.
    """
    printing = asyncio.create_task(_print(server, uris, count, as_json))
    with _interruptible(printing):
        try:
            return await printing
        except asyncio.CancelledError:
            if not printing.cancelled():
                raise
            return 0


async def _print(server: Conversation, uris: tuple[str, ...], count: int | None, as_json: bool) -> int:
    seen = 0
    async with server.changes(uris) as changes:
        say(f"Listening at {server.url}; Ctrl-C ends it.", err=True)
        async for note in changes:
            if as_json:
                say(escaped(json.dumps(note, ensure_ascii=False)))
            else:
                params = note.get("params")
                uri = params.get("uri") if isinstance(params, dict) else None
                say(bold(one_line(str(uri or f"the list of {note['method'].split('/')[1]}"))), " has changed")
            seen += 1
            if seen == count:
                return 0
    say("The server has ended the subscription.", err=True)
    return 1


@contextlib.contextmanager
def _interruptible(task: asyncio.Task[int]) -> Iterator[None]:
    """Ctrl-C ends the task instead of the program, where signals can be had."""
    loop = asyncio.get_running_loop()
    try:
        loop.add_signal_handler(signal.SIGINT, task.cancel)
    except (NotImplementedError, RuntimeError, ValueError):  # Windows; a thread
        yield
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
