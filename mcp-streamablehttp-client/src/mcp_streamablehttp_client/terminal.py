"""The one way to a terminal: what a server says reaches it without control sequences.

Escape, C1 and bidirectional controls can retitle a window, fill the clipboard (OSC 52), forge lines
and make text read as something else; characters that show nothing can hide text.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import click

_KEPT = frozenset("\n\t\u200c\u200d\ufe0e\ufe0f")
"""Line ends and tabs; the joiners and variation selectors that scripts and emoji need."""
_UNSAFE = frozenset({"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"})
"""Control, format (bidirectional, tags), private, surrogate, unassigned, line and paragraph."""


class Trusted(str):
    """Text of this program's own, with its own styles."""

    __slots__ = ()


def plain(text: str) -> str:
    """The text with every unsafe character made visible as U+FFFD; carriage returns are dropped, they only
    overwrite."""
    return "".join(c if is_safe(c) else "\ufffd" for c in text.replace("\r", ""))


def one_line(text: str, limit: int = 2000) -> str:
    """Fit for one line of a log."""
    return " ".join(plain(text[:limit]).split())


def is_safe(character: str) -> bool:
    return character in _KEPT or unicodedata.category(character) not in _UNSAFE


def bold(text: str) -> Trusted:
    return Trusted(click.style(plain(text), bold=True))


def say(*parts: str, err: bool = False) -> None:
    """Print the parts as one text; what is not Trusted is made plain."""
    click.echo("".join(part if isinstance(part, Trusted) else plain(part) for part in parts), err=err)


def say_json(value: Any, *, err: bool = False) -> None:
    """Print JSON; unsafe characters are escaped, so that it still says the same."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    click.echo(escaped(text), err=err)


def escaped(text: str) -> str:
    """JSON text with the unsafe characters of its strings as \\u escapes."""
    return "".join(c if is_safe(c) else json.dumps(c)[1:-1] for c in text)


def picture(data: bytes, mime: str) -> bool:
    """Show an image in the terminal, if it can (iTerm2's and kitty's protocols); whether it was."""
    if not sys.stdout.isatty():
        return False
    text = base64.b64encode(data).decode()
    if os.environ.get("TERM_PROGRAM") in ("iTerm.app", "WezTerm"):
        click.echo(f"\x1b]1337;File=inline=1;size={len(data)}:{text}\a")
        return True
    if mime == "image/png" and (os.environ.get("TERM") == "xterm-kitty" or "KITTY_WINDOW_ID" in os.environ):
        chunks = [text[start : start + 4096] for start in range(0, len(text), 4096)]
        for number, chunk in enumerate(chunks, 1):
            first = "a=T,f=100," if number == 1 else ""
            click.echo(f"\x1b_G{first}m={int(number < len(chunks))};{chunk}\x1b\\", nl=False)
        click.echo()
        return True
    return False


class Progress(Protocol):
    async def __call__(self, progress: float, total: float | None, message: str | None) -> None:
        """How far, of how much, and the server's words."""


@contextmanager
def progress_bar(what: str) -> Iterator[Progress | None]:
    """A bar on stderr, from the first note of progress on; None where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    # without markup: rich would take a server's [brackets] for its own
    words = TextColumn("{task.description}", markup=False)
    bar = Bar(
        *(words, BarColumn(), TaskProgressColumn(), TimeElapsedColumn()),
        console=Console(stderr=True),
        transient=True,
    )
    task = bar.add_task(one_line(what, 80), total=None)

    async def note(progress: float, total: float | None, message: str | None) -> None:
        bar.start()
        bar.update(task, completed=progress, total=total, description=one_line(message or what, 80))

    try:
        yield note
    finally:
        if bar.live.is_started:
            bar.stop()
