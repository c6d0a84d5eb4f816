"""An httpx transport that connects only to addresses which were checked, and to exactly those.

The check sits where the connection is made: the name is resolved once, every address is checked, and the
socket goes to one of them, so a name that resolves differently the next moment gains nothing. The pool, the
TLS server name and the Host header keep to the name.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, zip_longest
from typing import Any, cast

import httpcore
import httpx

from .addresses import AddressPolicy, AddressRefusedError, literal
from .resolver import NameNotFoundError as NameNotFoundError
from .resolver import SystemResolver

Resolver = Callable[[str, int], Awaitable[list[str]]]
Stream = httpcore.AsyncNetworkStream

NEXT_ADDRESS_SECONDS = 0.25
"""After so long the next address is tried beside those before it (RFC 8305 section 5)."""
_MOST_ADDRESSES = 8
"""A name may have any number; the others are not tried."""
_CLOSING: set[asyncio.Task[None]] = set()
"""The event loop itself keeps no task alive."""

log = logging.getLogger(__name__)


class CheckedBackend(httpcore.AsyncNetworkBackend):
    """Connects where the policy allows, within `timeout` seconds for all addresses of a name together.

    A dead address costs a quarter of a second, not the time-out: the next is tried beside it (RFC 8305).
    Raises AddressRefusedError and NameNotFoundError.
    """

    def __init__(
        self, policy: AddressPolicy, resolver: Resolver, connector: httpcore.AsyncNetworkBackend
    ) -> None:
        self.policy = policy
        self.resolver = resolver
        self.connector = connector

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # httpcore's interface
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        name = self.policy.check_host(host, port)
        addresses = [name] if literal(name) else await self.resolver(name, port)
        self.policy.check_addresses(name, port, addresses)
        try:
            async with asyncio.timeout(timeout):
                return await _first_connected(
                    self.connector.connect_tcp(address, port, timeout, local_address, socket_options)
                    for address in _families_in_turn(addresses)[:_MOST_ADDRESSES]
                )
        except TimeoutError as late:
            raise httpcore.ConnectTimeout(f"{name} did not take a connection in time") from late

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109  # httpcore's interface
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        raise AddressRefusedError("Local sockets are not fetched from.")

    async def sleep(self, seconds: float) -> None:
        await self.connector.sleep(seconds)


def _families_in_turn(addresses: Iterable[str]) -> list[str]:
    """In the resolver's order, but for one family after the other (RFC 8305 section 4)."""
    found = list(addresses)
    other = [address for address in found if (":" in address) != (":" in found[0])]
    first = [address for address in found if address not in other]
    return [address for address in chain(*zip_longest(first, other)) if address is not None]


async def _first_connected(attempts: Iterable[Coroutine[Any, Any, Stream]]) -> Stream:
    """The first of some connections, each begun when the one before it fails or takes long.

    Nothing was sent on those that lose, which are closed. Raises the last failure.
    """
    waiting = iter(attempts)
    tasks: list[asyncio.Task[Stream]] = []
    won: asyncio.Task[Stream] | None = None
    failure: Exception = httpcore.ConnectError("there is no address")
    try:
        pending: set[asyncio.Task[Stream]] = set()
        while True:
            attempt = next(waiting, None)
            if attempt is not None:
                tasks.append(asyncio.create_task(attempt))
                pending.add(tasks[-1])
            elif not pending:
                raise failure
            pause = None if attempt is None else NEXT_ADDRESS_SECONDS
            done, pending = await asyncio.wait(pending, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
            for task in filter(done.__contains__, tasks):  # of two at once, the address that came first
                try:
                    winner = task.result()
                except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                    failure = error
                else:
                    won = task
                    return winner
    finally:
        # Nothing is waited for here: whoever is cancelled meanwhile would lose the winner, too.
        _close([task for task in tasks if task is not won])


def _close(lost: list[asyncio.Task[Stream]]) -> None:
    """Give up connections, now, and close those that are made nevertheless."""
    for task in lost:
        task.cancel()
        closing = asyncio.create_task(_closed(task))
        _CLOSING.add(closing)
        closing.add_done_callback(_CLOSING.discard)


async def _closed(lost: asyncio.Task[Stream]) -> None:
    await asyncio.wait((lost,))
    if lost.cancelled() or lost.exception() is not None:
        return
    try:
        await lost.result().aclose()
    except Exception as error:
        log.debug("a connection that nobody needs could not be closed: %r", error)


class PinnedTransport(httpx.AsyncBaseTransport):
    """Raises httpx's errors, and AddressRefusedError or NameNotFoundError before anything is connected to."""

    def __init__(
        self,
        policy: AddressPolicy,
        *,
        resolver: Resolver | None = None,
        connector: httpcore.AsyncNetworkBackend | None = None,
        tls: ssl.SSLContext | None = None,
        max_connections: int = 100,
    ) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls or httpx.create_ssl_context(),
            max_connections=max_connections,
            keepalive_expiry=15,
            network_backend=CheckedBackend(
                policy, resolver or SystemResolver(), connector or httpcore.AnyIOBackend()
            ),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        inner = httpcore.Request(
            request.method,
            httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=cast(AsyncIterator[bytes], request.stream),
            extensions=request.extensions,
        )
        with _httpx_errors():
            response = await self._pool.handle_async_request(inner)
        return httpx.Response(
            response.status,
            headers=response.headers,
            stream=_Stream(response.stream),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        await self._pool.aclose()


class _Stream(httpx.AsyncByteStream):
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _httpx_errors():
            async for chunk in self._stream:
                yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


@contextmanager
def _httpx_errors() -> Iterator[None]:
    """httpcore and httpx name their errors alike."""
    try:
        yield
    except (
        httpcore.TimeoutException,
        httpcore.NetworkError,
        httpcore.ProtocolError,
        httpcore.ProxyError,
    ) as error:
        kind = getattr(httpx, type(error).__name__, httpx.TransportError)
        raise kind(str(error)) from error
