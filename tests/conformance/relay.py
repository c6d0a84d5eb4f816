"""A token for programs that have no word for it: a relay on loopback adds it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

HEAD = 65_536
"""Bytes of a request's line and headers."""


class Relay:
    """Bytes in both directions, as they come; only a request's head gets its new `Host` and the token.

    A connection is for one request, so that every head is seen. Any other `Host` than the relay's own, as the
    suite's attacks send, goes through as it is.
    """

    def __init__(self, resource: str, token: str) -> None:
        self._to = urlsplit(resource)
        self._token = token
        self._own = b""

    async def listen(self) -> asyncio.Server:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=HEAD)
        self._own = f"127.0.0.1:{server.sockets[0].getsockname()[1]}".encode()
        return server

    @property
    def url(self) -> str:
        return f"http://{self._own.decode()}{self._to.path}"

    def _head(self, head: bytes) -> bytes:
        first, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
        kept = []
        for line in lines:
            name, _, value = line.partition(b":")
            if name.lower() == b"host" and value.strip() == self._own:
                line = b"Host: " + self._to.netloc.encode()
            if name.lower() != b"connection":
                kept.append(line)
        token = b"Authorization: Bearer " + self._token.encode()
        return b"\r\n".join((first, *kept, token, b"Connection: close", b"", b""))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = await reader.readuntil(b"\r\n\r\n")
            there, back = await asyncio.open_connection(self._to.hostname, self._to.port)
            back.write(self._head(head))
            # Whichever side ends first ends the other: a client that goes must be seen to go.
            ways = [asyncio.ensure_future(_pass(*pair)) for pair in ((reader, back), (there, writer))]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            back.close()
        writer.close()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(HEAD):
            writer.write(data)
            await writer.drain()


@contextmanager
def signed_in(resource: str, token: str) -> Iterator[str]:
    """An address on loopback that is `resource` for who has the token."""
    relay = Relay(resource, token)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        server = asyncio.run_coroutine_threadsafe(relay.listen(), loop).result()
        yield relay.url
        loop.call_soon_threadsafe(server.close)
    finally:
        asyncio.run_coroutine_threadsafe(_end(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _end() -> None:
    """Close what is still open."""
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
