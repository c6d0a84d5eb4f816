"""Event streams of one session, and the events kept so that a client can resume them.

An event id is `STREAM-SEQUENCE`, so that it names the stream it was sent on (MCP 2025-11-25,
Resumability and Redelivery).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque

from ..settings import Settings
from ..wire.http import MAX_UNSENT, Request, event
from .events import Event

STANDING = 0
"""Number of the stream that a plain GET opens."""

_MOST_CONNECTIONS = 4


class Connection:
    """One HTTP response that a stream is written to; the newest of a stream receives."""

    def __init__(self, stream: Stream) -> None:
        self.over = False
        self._stream = stream
        self._queue: deque[bytes] = deque()
        self._unsent = 0
        self._wake = asyncio.Event()

    def push(self, data: bytes, size: int) -> None:
        """Queue an event; `size` is what counts of it. One who does not read is cut off."""
        self._queue.append(data)
        self._unsent += size
        if self._unsent > MAX_UNSENT:
            self.end()
        self._wake.set()

    def wake(self) -> None:
        self._wake.set()

    def end(self) -> None:
        """End it at once; the stream itself lives on and can be resumed."""
        self.over = True
        self._queue.clear()
        self._stream.connections = [one for one in self._stream.connections if one is not self]
        self._wake.set()

    async def run(self, request: Request, settings: Settings) -> None:
        """Write the stream out until it is closed, somebody else takes over, or the client goes."""
        gone = asyncio.ensure_future(request.disconnected())
        gone.add_done_callback(lambda _: self._wake.set())
        try:
            while not self.over and not gone.done():
                if self._queue:
                    chunk = b"".join(self._queue)
                    self._queue.clear()
                    self._unsent = 0
                    await request.send_event(chunk)
                    continue
                if self._stream.closed:
                    break
                self._wake.clear()
                try:
                    async with asyncio.timeout(settings.keepalive):
                        await self._wake.wait()
                except TimeoutError:
                    await request.send_event(b": keep-alive\n\n")
            if not gone.done():
                await request.end_stream()
        finally:
            gone.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await gone
            self.end()


class Stream:
    """One event stream, and the connections that it is written to."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.closed = False
        self.sent = 0
        """Sequence number of the last event handed to a connection."""
        self.connections: list[Connection] = []

    @property
    def connected(self) -> bool:
        return bool(self.connections)

    def push(self, sent: Event) -> None:
        """Give an event to the newest connection, if there is one."""
        if self.connections:
            self.sent = sent.sequence
            # A large answer is what the client waits for: it is no reason to cut it off.
            self.connections[-1].push(event(sent.data, sent.id), 0 if sent.answer else len(sent.data))

    def close(self) -> None:
        """No more events will come; connections end after what is queued."""
        self.closed = True
        for connection in self.connections:
            connection.wake()

    def disconnect(self) -> None:
        """End all connections at once."""
        for connection in list(self.connections):
            connection.end()

    def connect(self) -> Connection:
        """A new connection, which receives from now on. A stream of a request has one; of the standing one
        a gateway may not have noticed yet that an older is gone."""
        keep = _MOST_CONNECTIONS - 1 if self.number == STANDING else 0
        for older in self.connections[: max(0, len(self.connections) - keep)]:
            older.end()
        connection = Connection(self)
        self.connections.append(connection)
        return connection

    def prime(self, sent: Event, retry: int) -> None:
        """Give the connection an empty event, from whose id the client can resume."""
        self.sent = sent.sequence
        self.connections[-1].push(b"id: %b\nretry: %d\ndata: \n\n" % (sent.id, retry), 0)


def parse_event_id(value: bytes) -> tuple[int, int] | None:
    """(stream, sequence) of an event id; None if it is none of ours."""
    stream, dash, sequence = value.partition(b"-")
    if dash and stream.isdigit() and sequence.isdigit() and len(value) < 40:
        return int(stream), int(sequence)
    return None
