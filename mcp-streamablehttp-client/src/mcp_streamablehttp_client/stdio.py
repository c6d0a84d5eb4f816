"""The host's side: newline-delimited JSON on stdin and stdout, both kept private.

File descriptors 0 and 1 are replaced (by /dev/null and by stderr), so that neither a stray print
nor a browser started from here can read or write a byte of protocol. Reading and writing happen
in threads: every kind of pipe, file and terminal works the same, and a host that stops reading
cannot stall the bridge.
"""

import asyncio
import contextlib
import os
import queue
import threading
from collections.abc import AsyncIterator, Callable

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

    def start(self, on_host_gone: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        self._on_gone = lambda: _call(loop, on_host_gone)
        threading.Thread(target=self._read, args=(loop,), name="stdin", daemon=True).start()
        self._writer.start()

    async def lines(self) -> AsyncIterator[bytes]:
        """Lines without their ends, empty ones left out; ends when the host closes stdin."""
        while (line := await self._incoming.get()) is not None:
            yield line

    def write(self, line: bytes) -> None:
        self._outgoing.put(line + b"\n")

    async def close(self, seconds: float) -> None:
        """Give the writer `seconds` to hand over what is queued."""
        self._outgoing.put(None)
        await asyncio.to_thread(self._writer.join, seconds)

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        partial: list[bytes] = []
        size = 0
        while True:
            try:
                chunk = os.read(self._read_fd, 1 << 16)
            except OSError:
                chunk = b""
            *whole, rest = chunk.split(b"\n")
            for line in whole:
                size += len(line)
                complete = b"".join((*partial, line)).strip() if size <= MAX_MESSAGE_BYTES else None
                if complete is None:
                    _call(loop, self._incoming.put_nowait, TOO_LONG)
                elif complete:
                    _call(loop, self._incoming.put_nowait, complete)
                partial.clear()
                size = 0
            if not chunk:
                if last := b"".join(partial).strip():
                    _call(loop, self._incoming.put_nowait, last)
                _call(loop, self._incoming.put_nowait, None)
                return
            size += len(rest)
            if size > MAX_MESSAGE_BYTES:
                partial.clear()
            elif rest:
                partial.append(rest)

    def _write(self) -> None:
        while (data := self._outgoing.get()) is not None:
            view = memoryview(data)
            try:
                while view:
                    view = view[os.write(self._write_fd, view) :]
            except OSError:
                self._on_gone()
                return


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
