"""What every store does. Each operation is atomic, also between processes where the store is shared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ..entry import Entry

EVENTS = 256
"""Events kept of one session."""
EVENT_BYTES = 1_000_000
"""Their size together."""
EVENT_SESSIONS = 200
"""Sessions whose events are kept; the one without events for longest goes first."""


@dataclass(frozen=True, slots=True)
class Event:
    """`message` is JSON, or empty for an event that only has an id."""

    id: str
    message: str


@dataclass(frozen=True, slots=True)
class Stream:
    """What was kept of a stream."""

    stream: str
    events: list[Event]


class StateFullError(Exception):
    """There is no room for another record, whoever asks."""


class StateUnavailableError(Exception):
    """The store does not answer; the cause is chained, for the log."""


class Store(Protocol):
    """Records that were unused for the store's idle time do not exist. Each operation may raise
    StateUnavailableError.

    What an operation has answered survives the end of this process, except in memory.
    """

    async def open(self, entry: Entry, own: int | None, total: int) -> list[str]:
        """Keep a new record; one that is there already stays as it is.

        The owner has at most `own` records of its kind: the one unused for longest makes room, and its key is
        in the answer. With `total` records of the kind raises StateFullError and changes nothing.
        """
        ...

    async def find(self, key: str) -> Entry | None: ...

    async def use(self, key: str, message: str | None = None) -> Entry | None:
        """Count a use, and keep the message if there is one. The answer is the record after that."""
        ...

    async def renew(self, key: str) -> None:
        """Begin the idle time anew."""
        ...

    async def delete(self, key: str) -> None:
        """Forget a record, and its events."""
        ...

    async def append(self, key: str, stream: str, message: str) -> str:
        """Keep an event of a session; the answer is its id. Beyond the bounds the oldest go.

        Of a session that does not exist nothing is kept. What is kept survives the end of this process, but
        need not survive a power cut.
        """
        ...

    async def after(self, key: str, id_: str) -> Stream | None:
        """The stream of this event, and what was kept of it since. None when the event is not kept."""
        ...

    async def check(self) -> None:
        """Returns when the store can be written to."""
        ...

    async def aclose(self) -> None: ...
