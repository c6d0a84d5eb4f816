"""Event streams of one session, and the events kept so that a client can resume them.

An event id is `STREAM-SEQUENCE`, so that it names the stream it was sent on (MCP 2025-11-25,
Resumability and Redelivery).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from dataclasses import dataclass
from typing import Final

from .http import Request, event
from .settings import MIB, Settings

STANDING: Final = 0
"""Number of the stream that a plain GET opens."""

MAX_UNSENT: Final = 16 * MIB
"""Bytes that may wait for a client that does not read; beyond that its connection is closed."""


@dataclass(frozen=True, slots=True)
class Event:
    stream: int
    sequence: int
    data: bytes
    at: float

    @property
    def id(self) -> bytes:
        return b"%d-%d" % (self.stream, self.sequence)


class EventStore:
    """The last events of a session, bounded in number, bytes and age."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._events: deque[Event] = deque()
        self._bytes = 0
        self._sequence = 0

    def __len__(self) -> int:
        return len(self._events)

    def add(self, stream: int, data: bytes) -> Event:
        self._sequence += 1
        added = Event(stream, self._sequence, data, time.monotonic())
        self._events.append(added)
        self._bytes += len(data)
        settings = self._settings
        while len(self._events) > settings.max_events or (
            self._bytes > settings.max_event_bytes and len(self._events) > 1
        ):
            self._drop()
        return added

    def after(self, stream: int, sequence: int) -> list[Event]:
        """Later events of a stream, without the empty ones that only carry an id."""
        return [e for e in self._events if e.stream == stream and e.sequence > sequence and e.data]

    def expire(self) -> None:
        oldest = time.monotonic() - self._settings.event_lifetime
        while self._events and self._events[0].at < oldest:
            self._drop()

    def _drop(self) -> None:
        self._bytes -= len(self._events.popleft().data)


class Stream:
    """One event stream: at most one connection at a time writes it out."""

    __slots__ = ("_connection", "_queue", "_unsent", "_wake", "closed", "number", "sent")

    def __init__(self, number: int) -> None:
        self.number = number
        self.closed = False
        self.sent = 0
        """Sequence number of the last event handed to a connection."""
        self._queue: deque[bytes] = deque()
        self._unsent = 0
        self._wake: asyncio.Event | None = None
        self._connection = 0

    @property
    def connected(self) -> bool:
        return self._wake is not None

    def push(self, sent: Event) -> None:
        """Give an event to the connection, if there is one."""
        if self._wake is not None:
            self.sent = sent.sequence
            self._queue.append(event(sent.data, sent.id))
            self._unsent += len(sent.data)
            if self._unsent > MAX_UNSENT:
                self.disconnect()
            else:
                self._wake.set()

    def close(self) -> None:
        """No more events will come; the connection ends after what is queued."""
        self.closed = True
        if self._wake is not None:
            self._wake.set()

    def disconnect(self) -> None:
        """End the connection at once; the stream itself lives on and can be resumed."""
        self._connection += 1
        if self._wake is not None:
            self._wake.set()
            self._wake = None
        self._queue.clear()
        self._unsent = 0

    def connect(self) -> None:
        """Claim the stream for a new connection, ending an older one."""
        self.disconnect()
        self._wake = asyncio.Event()

    def prime(self, sent: Event, retry: int) -> None:
        """Give the connection an empty event, from whose id the client can resume."""
        self.sent = sent.sequence
        self._queue.append(b"id: %b\nretry: %d\ndata: \n\n" % (sent.id, retry))

    async def run(self, request: Request, settings: Settings) -> None:
        """Write the stream out on a claimed connection until it is closed or the client goes."""
        mine, wake = self._connection, self._wake
        assert wake is not None
        gone = asyncio.ensure_future(request.disconnected())
        gone.add_done_callback(lambda _: wake.set())
        try:
            while mine == self._connection and not gone.done():
                if self._queue:
                    chunk = b"".join(self._queue)
                    self._queue.clear()
                    self._unsent = 0
                    await request.send_event(chunk)
                    continue
                if self.closed:
                    break
                wake.clear()
                try:
                    async with asyncio.timeout(settings.keepalive):
                        await wake.wait()
                except TimeoutError:
                    await request.send_event(b": keep-alive\n\n")
            if not gone.done():
                await request.end_stream()
        finally:
            gone.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await gone
            if mine == self._connection:
                self.disconnect()


def parse_event_id(value: bytes) -> tuple[int, int] | None:
    """(stream, sequence) of an event id; None if it is none of ours."""
    stream, dash, sequence = value.partition(b"-")
    if dash and stream.isdigit() and sequence.isdigit() and len(value) < 40:
        return int(stream), int(sequence)
    return None
