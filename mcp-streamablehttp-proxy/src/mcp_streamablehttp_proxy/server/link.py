"""What a child speaks through: the pipes of a process, or the requests and streams of a server elsewhere."""

from __future__ import annotations

from typing import Protocol

from ..settings import Server
from ..wire.lines import Oversize


class Link(Protocol):
    """Lines both ways, and a life. It tells once of its end, after the last line."""

    label: str
    """What the log calls it."""
    pid: int
    """Of the process; 0 if there is none."""

    @property
    def running(self) -> bool:
        """Whether it was started."""

    @property
    def last_words(self) -> str:
        """What it said last that was no message, as text that may be shown."""

    @property
    def memory(self) -> int:
        """Bytes in use on this machine."""

    @property
    def unread(self) -> int:
        """Bytes written that the server has not taken yet."""

    async def start(self) -> None:
        """Raises LinkError."""

    def write(self, line: bytes, *, at_once: bool = False) -> None:
        """Send one line; silently lost after the end, for that was told."""

    async def stop(self) -> None:
        """End it within `stop_timeout`."""

    def kill(self) -> None:
        """End it at once."""


class HearLine(Protocol):
    def __call__(self, line: bytes | Oversize, /) -> None: ...


class HearEnd(Protocol):
    def __call__(self, how: str, /) -> None:
        """With what goes after "server NAME"."""


class MakeLink(Protocol):
    def __call__(self, server: Server, label: str, on_line: HearLine, on_end: HearEnd, /) -> Link: ...


class LinkError(Exception):
    """It cannot be started. The text goes after "could not start", and holds no secret."""
