"""Server-sent events, parsed as the bytes arrive (WHATWG HTML §9.2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


class EventTooLargeError(Exception):
    """One event is longer than the limit; the stream cannot be read on."""


@dataclass(slots=True)
class Event:
    """`id` and `retry` (milliseconds) are None when the event did not set them."""

    data: bytes
    type: str = "message"
    id: str | None = None
    retry: int | None = None


class EventParser:
    """Feed it chunks of any size; it yields whole events. `limit` is in bytes, for one event."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._partial: list[bytes] = []
        self._held = 0
        self._after_cr = False
        self._started = False
        self._data: list[bytes] = []
        self._type = ""
        self._id: str | None = None
        self._retry: int | None = None

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """Raises EventTooLargeError."""
        for line in self._lines(chunk):
            if line:
                self._field(line)
            elif event := self._dispatch():
                yield event

    def _lines(self, chunk: bytes) -> Iterator[bytes]:
        if self._after_cr and chunk:
            self._after_cr = False
            if chunk.startswith(b"\n"):
                chunk = chunk[1:]
        if b"\r" in chunk:
            self._after_cr = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *whole, rest = chunk.split(b"\n")
        for line in whole:
            if self._partial:
                line = b"".join((*self._partial, line))
                self._partial.clear()
            if not self._started:
                self._started = True
                line = line.removeprefix(b"\xef\xbb\xbf")
            yield line
        if rest:
            self._partial.append(rest)
        self._held += len(chunk)
        if self._held > self._limit + 4096 and self._size() > self._limit:
            raise EventTooLargeError(f"an event of more than {self._limit} bytes")

    def _size(self) -> int:
        self._held = sum(map(len, self._partial)) + sum(map(len, self._data))
        return self._held

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._type = value.decode(errors="replace")
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode(errors="replace")
        elif name == b"retry" and value.isdigit():
            self._retry = int(value)

    def _dispatch(self) -> Event | None:
        seen = self._data or self._id is not None or self._retry is not None
        event = Event(b"\n".join(self._data), self._type or "message", self._id, self._retry)
        self._data, self._type, self._id, self._retry = [], "", None, None
        self._held = 0
        return event if seen else None
