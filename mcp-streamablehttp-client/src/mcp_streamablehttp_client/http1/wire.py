"""Bytes from and to one socket.

Unlike asyncio's streams it can tell whether anything came while nobody was reading: the end, or an
answer that nobody asked for (RFC 9112 section 9.2: such bytes must not become the next answer).
"""

from __future__ import annotations

import asyncio
import contextlib
import select
from typing import cast

MOST_BUFFERED = 1 << 20


class Wire(asyncio.Protocol):
    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._chunks: list[bytes] = []
        self._buffered = 0
        self._ended = False
        self._failure: Exception | None = None
        self._reader: asyncio.Future[None] | None = None

    @property
    def quiet(self) -> bool:
        """Whether the connection stands and everything that came was read."""
        return not self._ended and not self._chunks

    @property
    def flushed(self) -> bool:
        return self._transport is not None and self._transport.get_write_buffer_size() == 0

    async def settled(self) -> bool:
        """`quiet`, after what the system holds ready has been taken in.

        The loop polls the sockets between two steps of a task: the second step sees the result.
        """
        if self._transport is not None and _readable(self._transport):
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        return self.quiet

    def write(self, data: bytes) -> None:
        if self._transport is None or self._ended:
            raise ConnectionResetError
        self._transport.write(data)

    async def read(self) -> bytes:
        """What has come, at least a byte; empty at the end. Raises OSError when it broke."""
        while not self._chunks:
            if self._ended:
                if self._failure is not None:
                    raise self._failure if isinstance(self._failure, OSError) else ConnectionResetError
                return b""
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        if self._buffered > MOST_BUFFERED and self._transport is not None:
            self._transport.resume_reading()
        self._buffered = 0
        return data

    async def start_tls(self, context: object, host: str) -> None:
        """Speak TLS from here on, inside what a proxy opened."""
        assert self._transport is not None
        transport = await asyncio.get_running_loop().start_tls(
            self._transport,
            self,
            context,  # type: ignore[arg-type]  # ssl.SSLContext; ssl is imported for TLS only
            server_hostname=host,
        )
        self._transport = cast("asyncio.Transport", transport)

    def close(self) -> None:
        self._ended = True
        if self._transport is not None:
            with contextlib.suppress(Exception):
                # what was not sent yet must not be: the server would act on a request given up
                self._transport.close() if self.flushed else self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._chunks.append(data)
        self._buffered += len(data)
        if self._buffered > MOST_BUFFERED and self._transport is not None:
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        self._ended = True
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True
        self._failure = exc
        self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)


def _readable(transport: asyncio.Transport) -> bool:
    number = transport.get_extra_info("socket").fileno()
    if number < 0:
        return True
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(number, select.POLLIN)
        return bool(poll.poll(0))
    return bool(select.select([number], [], [], 0)[0])
