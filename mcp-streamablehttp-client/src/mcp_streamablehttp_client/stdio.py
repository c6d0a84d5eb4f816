"""The host's side: newline-delimited JSON on stdin and stdout, both kept private.

File descriptors 0 and 1 are replaced (by /dev/null and by stderr), so that neither a stray print
nor a browser started from here can read or write a byte of protocol. Pipes and sockets are read
when they are ready, and written at once where that cannot block; everything else happens in
threads: every kind of file and terminal works, and a host that stops reading cannot stall the bridge.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import select
import stat
import threading
from collections.abc import AsyncIterator, Callable, Iterator

from .host import TOO_LONG
from .settings import MAX_MESSAGE_BYTES


class Stdio:
    def __init__(self, read_fd: int, write_fd: int) -> None:
        self._read_fd = read_fd
        self._write_fd = write_fd
        self._incoming: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write, name="stdout", daemon=True)
        self._on_gone: Callable[[], None] = lambda: None
        self._put = 0
        self._done = 0
        """Lines given to the writer thread, and those it is done with: each counted in one thread."""
        self._partial: list[bytes] = []
        self._size = 0
        self._ready = select.poll() if _can_be_polled(write_fd) else None
        if self._ready is not None:
            self._ready.register(write_fd, select.POLLOUT)

    def start(self, on_host_gone: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        self._on_gone = lambda: _call(loop, on_host_gone)
        if _can_be_polled(self._read_fd):
            loop.add_reader(self._read_fd, self._read_ready, loop)
        else:
            threading.Thread(target=self._read, args=(loop,), name="stdin", daemon=True).start()
        self._writer.start()

    async def lines(self) -> AsyncIterator[bytes]:
        """Lines without their ends, empty ones left out; ends when the host closes stdin."""
        while (line := await self._incoming.get()) is not None:
            yield line

    def write(self, line: bytes) -> None:
        if rest := self._write_at_once(line + b"\n"):
            self._put += 1
            self._outgoing.put(rest)

    def _write_at_once(self, data: bytes) -> bytes:
        """Write if that cannot block and nothing is before it; returns what is still to be written."""
        if self._ready is None or len(data) > select.PIPE_BUF or self._put != self._done:
            return data
        if self._ready.poll(0) != [(self._write_fd, select.POLLOUT)]:
            return data
        try:
            return data[os.write(self._write_fd, data) :]
        except OSError:
            return data  # the writer thread meets the same and tells

    async def close(self, seconds: float) -> None:
        """Give the writer `seconds` to hand over what is queued."""
        self._outgoing.put(None)
        await asyncio.to_thread(self._writer.join, seconds)

    def _read_ready(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            chunk = os.read(self._read_fd, 1 << 16)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if not chunk:
            loop.remove_reader(self._read_fd)
        for line in self._lines(chunk):
            self._incoming.put_nowait(line)

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        chunk = b"\n"
        while chunk:
            try:
                chunk = os.read(self._read_fd, 1 << 16)
            except OSError:
                chunk = b""
            for line in self._lines(chunk):
                _call(loop, self._incoming.put_nowait, line)

    def _lines(self, chunk: bytes) -> Iterator[bytes | None]:
        """The lines that end in this chunk; after the last chunk, an empty one, also None."""
        *whole, rest = chunk.split(b"\n")
        for line in whole:
            self._size += len(line)
            if self._size > MAX_MESSAGE_BYTES:
                yield TOO_LONG
            elif complete := b"".join((*self._partial, line)).strip():
                yield complete
            self._partial.clear()
            self._size = 0
        if not chunk:
            if last := b"".join(self._partial).strip():
                yield last
            yield None
            return
        self._size += len(rest)
        if self._size > MAX_MESSAGE_BYTES:
            self._partial.clear()
        elif rest:
            self._partial.append(rest)

    def _write(self) -> None:
        while (data := self._outgoing.get()) is not None:
            view = memoryview(data)
            try:
                while view:
                    view = view[os.write(self._write_fd, view) :]
                self._done += 1
            except OSError:
                self._on_gone()
                return


def _can_be_polled(fd: int) -> bool:
    mode = os.fstat(fd).st_mode
    return hasattr(select, "poll") and (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode))


def _call(loop: asyncio.AbstractEventLoop, function: Callable[..., object], *args: object) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is gone: so is whoever waited
        loop.call_soon_threadsafe(function, *args)


def take_over() -> Stdio:
    """Claim the process's stdin and stdout for the protocol."""
    stdio = Stdio(os.dup(0), os.dup(1))
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    return stdio
