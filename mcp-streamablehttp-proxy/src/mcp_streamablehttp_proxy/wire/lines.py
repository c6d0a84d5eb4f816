"""Lines out of a byte stream, of any length up to a cap."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Oversize:
    """A line longer than the cap: its first and last bytes and its whole size are all that is kept."""

    head: bytes
    tail: bytes
    size: int


class LineSplitter:
    """Feed it chunks, get whole lines without their line ends. Cost is linear in the bytes fed."""

    __slots__ = ("_cap", "_chunks", "_head", "_size", "_tail")
    KEPT = 512

    def __init__(self, cap: int) -> None:
        self._cap = cap
        self._chunks: list[bytes] = []
        self._size = 0
        self._head: bytes | None = None
        self._tail = b""

    def feed(self, data: bytes) -> list[bytes | Oversize]:
        end = data.find(b"\n")
        if end < 0:
            self._hold(data)
            return []
        if not self._size and end == len(data) - 1 and end <= self._cap:
            return [data[:end].rstrip(b"\r")]
        lines: list[bytes | Oversize] = []
        start = 0
        while end >= 0:
            self._hold(data[start:end])
            lines.append(self._take())
            start = end + 1
            end = data.find(b"\n", start)
        self._hold(data[start:])
        return lines

    def rest(self) -> bytes | Oversize | None:
        """What stands after the last line end; None if nothing does."""
        return self._take() if self._size else None

    def _hold(self, data: bytes) -> None:
        if not data:
            return
        self._size += len(data)
        if self._head is not None:
            self._tail = (self._tail + data)[-self.KEPT :]
            return
        self._chunks.append(data)
        if self._size > self._cap:
            line = b"".join(self._chunks)
            self._chunks.clear()
            self._head, self._tail = line[: self.KEPT], line[-self.KEPT :]

    def _take(self) -> bytes | Oversize:
        line: bytes | Oversize
        if self._head is not None:
            line = Oversize(self._head, self._tail, self._size)
            self._head, self._tail = None, b""
        else:
            line = b"".join(self._chunks).rstrip(b"\r")
            self._chunks.clear()
        self._size = 0
        return line
