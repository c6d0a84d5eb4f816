"""One connection, one exchange at a time."""

from __future__ import annotations

import asyncio
import time

import h11

from ..proxies import Proxy
from .target import Headers, Target
from .wire import Wire

LONGEST_HEAD = 256 * 1024
"""Bytes of status line and fields."""


class Connection:
    def __init__(self, wire: Wire, proxy: Proxy | None) -> None:
        self._wire = wire
        self._proxy = proxy
        self._protocol = h11.Connection(h11.CLIENT, max_incomplete_event_size=LONGEST_HEAD)
        self._idle_since = time.monotonic()
        self._ambiguous = False
        """Whether the answer had two lengths, as smuggled ones have (RFC 9112 section 6.3)."""
        self.closed = False

    @property
    def idle_seconds(self) -> float:
        return time.monotonic() - self._idle_since

    async def stands(self) -> bool:
        """Whether the server has neither closed it nor said anything unasked."""
        return await self._wire.settled()

    def send(self, method: str, target: Target, headers: Headers, body: bytes) -> None:
        """Begin to send a request; reading its answer does not wait for the end of it, since a
        server may refuse a body before it has read it (RFC 9112 section 9.3)."""
        path = target.path
        fields = [("Host", target.authority), *headers]
        if self._proxy is not None and not self._proxy.socks and not target.tls:
            path = f"http://{target.authority}{path}"
            fields += self._proxy.headers
        if method == "POST":
            fields.append(("Content-Length", str(len(body))))
        # As answers are read, and as headers of the settings may be.
        latin_1 = [(name.encode("ascii"), value.encode("latin-1")) for name, value in fields]
        data = [self._protocol.send(h11.Request(method=method, target=path, headers=latin_1))]
        if body:
            data.append(self._protocol.send(h11.Data(body)))
        data.append(self._protocol.send(h11.EndOfMessage()))
        self._wire.write(b"".join(part for part in data if part))

    async def next_event(self, silence: float | None) -> h11.Event | type[h11.PAUSED]:
        """Raises TimeoutError after `silence` seconds without a byte, OSError when there is no answer."""
        while (event := self._protocol.next_event()) is h11.NEED_DATA:
            async with asyncio.timeout(silence):
                data = await self._wire.read()
            if not data and self._protocol.their_state is h11.SEND_RESPONSE:
                raise ConnectionResetError  # the end, and not even a whole head
            self._protocol.receive_data(data)
        return event  # type: ignore[return-value]  # NEED_DATA is excluded above

    async def head(self, silence: float) -> h11.Response:
        """The final response head, after any interim ones (RFC 9110 section 15.2)."""
        while not isinstance(event := await self.next_event(silence), h11.Response):
            if not isinstance(event, h11.InformationalResponse):
                raise ConnectionResetError
        names = {bytes(name) for name, _ in event.headers}
        self._ambiguous = {b"content-length", b"transfer-encoding"} <= names
        return event

    def rest(self) -> bool:
        """Call after an exchange: whether another can follow (RFC 9112 section 9.3)."""
        protocol = self._protocol
        both_done = protocol.our_state is h11.DONE and protocol.their_state is h11.DONE
        if (
            not both_done
            or self._ambiguous
            or protocol.trailing_data[0]
            or not self._wire.quiet
            or not self._wire.flushed
        ):
            return False
        protocol.start_next_cycle()
        self._idle_since = time.monotonic()
        return True

    def close(self) -> None:
        self.closed = True
        self._wire.close()
