"""uvicorn's HTTP protocol with less to do for each answer: one write, and no timer of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from uvicorn.protocols.http.auto import AutoHTTPProtocol

if TYPE_CHECKING:
    from uvicorn.protocols.http.h11_impl import H11Protocol as HTTPProtocol
else:
    HTTPProtocol = AutoHTTPProtocol

_HEAD: Final = b"HTTP/1.1 "
_INTERIM: Final = b"HTTP/1.1 1"
"""100 and 101: nothing of the server's follows before the client goes on."""


class Joining:
    """A transport that keeps the head of an answer until something follows, if only an empty write.

    uvicorn writes the head before there is a body, although ASGI has a server wait for it (HTTP message
    format, "Response Start"). Two writes are two system calls here, and wake the client twice.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""

    def write(self, data: bytes) -> None:
        if self._head:
            data, self._head = self._head + data, b""
        elif data.startswith(_HEAD) and not data.startswith(_INTERIM):
            self._head = data
            return
        self._transport.write(data)

    def flush(self) -> None:
        if self._head:
            self.write(b"")

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class KeepAlive:
    """The event loop of one connection, as uvicorn uses it: to start a timer after each answer and to cancel
    it with the next request. One timer keeps running instead, and looks at the clock when it rings."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.create_task = loop.create_task
        self._due = 0.0
        self._late: Callable[[], object] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def call_later(self, delay: float, late: Callable[[], object]) -> KeepAlive:
        self._due = self._loop.time() + delay
        self._late = late
        if self._timer is None:
            self._timer = self._loop.call_at(self._due, self._ring)
        return self

    def cancel(self) -> None:
        """What uvicorn calls on the timer that it got."""
        self._late = None

    def end(self) -> None:
        """The connection is gone."""
        self._late = None
        if self._timer is not None:
            self._timer.cancel()

    def _ring(self) -> None:
        self._timer = None
        if self._late is None:
            return
        if self._loop.time() < self._due:
            self._timer = self._loop.call_at(self._due, self._ring)
        else:
            self._late()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)


class LeanProtocol(HTTPProtocol):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.loop = KeepAlive(self.loop)  # type: ignore[assignment]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.transport = Joining(transport)  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.loop.end()  # type: ignore[attr-defined]

    def on_response_complete(self) -> None:
        self.transport.flush()  # type: ignore[attr-defined]
        super().on_response_complete()
