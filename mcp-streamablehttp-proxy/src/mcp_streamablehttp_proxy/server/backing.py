"""What a pool keeps: a server process, or whatever else is started, used and ended like one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from .._common.channel import Channel
from .._common.jsonrpc import Message
from .._common.versions import Era
from ..settings import Server


class Backing(Channel, Protocol):
    """A channel with a life. It calls back once when it ends, for whatever reason."""

    server: Server
    era: Era
    """Of the clients that it was started for."""
    label: str
    """What the log calls it."""
    shared: bool
    """Whether several clients may use it."""
    closing: bool
    may_end: bool
    """Whether its end would tell nothing: it is asked for an era that it may not know."""
    served: bool
    """Whether it answered anything."""
    started: float
    """time.monotonic."""
    junk: int
    """Lines that were no messages."""
    on_question: Callable[[Message], None] | None
    """Hears of every request of the server, before it is routed."""

    @property
    def pid(self) -> int:
        """The id of its process; 0 if it has none."""

    @property
    def alive(self) -> bool: ...

    @property
    def usable(self) -> bool:
        """Alive, and nobody ends it."""

    @property
    def quiet(self) -> bool:
        """Whether no call that was cancelled may still be under way."""

    @property
    def tags(self) -> dict[str, object]:
        """What the log says with each of its lines."""

    async def start(self) -> None:
        """Raises ChannelError."""

    async def close(self) -> None:
        """End it; open turns are settled with an error."""

    def check_memory(self) -> None:
        """End it if it uses more than `memory`."""

    def abandon(self, reason: str) -> None:
        """Answer every open turn with an error."""


class Make(Protocol):
    """Makes what is started next."""

    def __call__(
        self, server: Server, label: str, *, shared: bool, on_end: Callable[[Backing, str], None]
    ) -> Backing: ...
