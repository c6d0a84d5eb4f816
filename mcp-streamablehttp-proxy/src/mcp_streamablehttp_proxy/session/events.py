"""The events of a session that can be sent once more."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass

from ..settings import MIB, Settings


@dataclass(frozen=True, slots=True)
class Event:
    stream: int
    sequence: int
    data: bytes
    at: float
    answer: bool = False
    """Whether it answers a request: what a client that comes back wants most."""

    @property
    def id(self) -> bytes:
        return b"%d-%d" % (self.stream, self.sequence)


class Budget:
    """Bytes that all sessions of one user keep; beyond that the one that adds forgets its oldest."""

    LIMIT = 256 * MIB

    def __init__(self) -> None:
        self.used = 0

    @property
    def spent(self) -> bool:
        return self.used > self.LIMIT


class EventStore:
    """The last events of a session, bounded in number, bytes and age.

    Answers are bounded apart, so that one of 64 MiB, the longest line of a server, is kept too.
    """

    MOST_ANSWER_BYTES = 64 * MIB

    def __init__(self, settings: Settings, budget: Budget | None = None) -> None:
        self._settings = settings
        self._budget = budget or Budget()
        self._events: deque[Event] = deque()
        self._bytes = {False: 0, True: 0}
        self._sequence = 0

    def __len__(self) -> int:
        return len(self._events)

    def add(self, stream: int, data: bytes, *, answer: bool = False) -> Event:
        self._sequence += 1
        added = Event(stream, self._sequence, data, time.monotonic(), answer)
        self._events.append(added)
        self._count(added, 1)
        limits = {False: self._settings.max_event_bytes, True: self.MOST_ANSWER_BYTES}
        while len(self._events) > self._settings.max_events or (self._budget.spent and len(self._events) > 1):
            self._count(self._events.popleft(), -1)
        if self._bytes[answer] > limits[answer]:
            self._forget(answer, limits[answer], added)
        return added

    def _forget(self, answer: bool, limit: int, newest: Event) -> None:
        """Drop the oldest of a kind until it is within its limit, but never the newest."""
        kept: deque[Event] = deque()
        for one in self._events:
            if one.answer == answer and one is not newest and self._bytes[answer] > limit:
                self._count(one, -1)
            else:
                kept.append(one)
        self._events = kept

    def _count(self, one: Event, sign: int) -> None:
        self._bytes[one.answer] += sign * len(one.data)
        self._budget.used += sign * len(one.data)

    def after(self, stream: int, sequence: int) -> list[Event]:
        """Later events of a stream, without the empty ones that only carry an id."""
        return [e for e in self._events if e.stream == stream and e.sequence > sequence and e.data]

    def expire(self) -> None:
        oldest = time.monotonic() - self._settings.event_lifetime
        while self._events and self._events[0].at < oldest:
            self._count(self._events.popleft(), -1)

    def clear(self) -> None:
        while self._events:
            self._count(self._events.popleft(), -1)
