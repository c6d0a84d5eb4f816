"""One request passed on to another replica as it came, and its answer as that replica gives it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx
    from starlette.types import Receive, Scope, Send

log = logging.getLogger(__name__)

CONNECT = 4.0
"""Seconds that a replica has to take a connection: longer than a host needs to find out that an address of
its own network is nobody's any more (three)."""
LOOK_AFTER = 10.0
"""Seconds without an answer after which a replica is asked whether it is well, and every so many again."""
WELL_WITHIN = 5.0

Pair = tuple[bytes, bytes]

_WATCHED = [
    (level, getattr(socket, name), value)
    for level, name, value in (
        (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
        (socket.IPPROTO_TCP, "TCP_KEEPIDLE", 10),
        (socket.IPPROTO_TCP, "TCP_KEEPINTVL", 3),
        (socket.IPPROTO_TCP, "TCP_KEEPCNT", 3),
        (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", 15_000),
    )
    if hasattr(socket, name)
]
"""A machine that went away without a word is noticed within twenty seconds, in a silent stream, too."""

_OF_THE_CONNECTION = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
"""RFC 9110 section 7.6.1."""


class OwnerUnreachableError(Exception):
    """Nobody there takes connections, or whoever does is no replica of this service; nothing was answered."""


class OwnerHangsError(Exception):
    """It takes connections and does not answer, not even when it is asked whether it is well."""


class OwnerLostError(Exception):
    """It ended before it answered; whether it acted on the request nobody knows."""


class Forwarder:
    def __init__(
        self, *, connect: float = CONNECT, look_after: float = LOOK_AFTER, well_within: float = WELL_WITHIN
    ) -> None:
        self._connect = connect
        self._look_after = look_after
        self._well_within = well_within
        self._client: httpx.AsyncClient | None = None
        self._draining = False
        self._standing: set[asyncio.Future[None]] = set()

    async def forward(
        self, place: str, scope: Scope, hop: Pair, proof: Pair, receive: Receive, send: Send
    ) -> None:
        """Return once the answer is passed on, or the client has gone. Its request is not read before `place`
        took a connection, and never sent twice.

        Raises OwnerUnreachableError, OwnerHangsError and OwnerLostError, when nothing was answered.
        """
        sent = asyncio.Event()
        exchange = asyncio.ensure_future(self._exchange(place, scope, hop, proof, receive, send, sent))
        gone = asyncio.ensure_future(_disconnected(sent, receive))
        if scope["method"] == "GET":
            self._standing.add(exchange)
            exchange.add_done_callback(self._standing.discard)
        try:
            await asyncio.wait((exchange, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _ended(gone)
            if not exchange.done():
                await _ended(exchange)
        if not exchange.cancelled():
            with contextlib.suppress(ClientLeftError):
                exchange.result()

    def drain(self) -> None:
        """End the standing streams, which would never end by themselves; their clients open them again."""
        self._draining = True
        for exchange in self._standing:
            exchange.cancel()

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()

    async def _exchange(
        self,
        place: str,
        scope: Scope,
        hop: Pair,
        proof: Pair,
        receive: Receive,
        send: Send,
        sent: asyncio.Event,
    ) -> None:
        import httpx

        client = self._client = self._client or _client(self._connect)
        host, _, port = place.rpartition(":")
        target = scope.get("raw_path") or str(scope["path"]).encode()
        if scope["query_string"]:
            target += b"?" + scope["query_string"]
        url = httpx.URL(scheme="http", host=host.strip("[]"), port=int(port), raw_path=target)
        headers = [pair for pair in scope["headers"] if pair[0] not in _OF_THE_CONNECTION]
        chunked = any(name == b"transfer-encoding" for name, _ in scope["headers"])
        has_body = chunked or any(name == b"content-length" for name, _ in scope["headers"])
        if not has_body:
            sent.set()
        request = httpx.Request(
            scope["method"],
            url,
            headers=[*headers, hop],
            content=_body(receive, sent) if has_body else None,
        )
        begun = False
        try:
            response = await self._answered(client, request, place)
            try:
                if proof not in response.headers.raw:
                    log.warning("what answers at %s is no replica of this service", place)
                    raise OwnerUnreachableError(place)
                start = _start(response, without=proof[0])
                if response.headers.get("content-type", "").startswith("text/event-stream"):
                    begun = True
                    await send(start)
                    async for part in response.aiter_raw():
                        await send({"type": "http.response.body", "body": part, "more_body": True})
                    await send({"type": "http.response.body", "body": b""})
                else:
                    # Whole, since a replica that ends amid it is an error of this request.
                    whole = b"".join([part async for part in response.aiter_raw()])
                    await send(start)
                    await send({"type": "http.response.body", "body": whole})
            finally:
                await response.aclose()
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise OwnerUnreachableError(place) from error
        except httpx.TransportError as error:
            if not begun:
                raise OwnerLostError(place) from error
            log.warning("replica %s ended amid an event stream", place)
            await send({"type": "http.response.body", "body": b""})
        except asyncio.CancelledError:
            if not (begun and self._draining):
                raise
            await send({"type": "http.response.body", "body": b""})

    async def _answered(
        self, client: httpx.AsyncClient, request: httpx.Request, place: str
    ) -> httpx.Response:
        """The head of the answer. Raises OwnerHangsError, and httpx's errors."""
        sending = asyncio.ensure_future(client.send(request, stream=True))
        try:
            while not (await asyncio.wait((sending,), timeout=self._look_after))[0]:
                if not await self._well(client, place):
                    raise OwnerHangsError(place)
            return sending.result()
        finally:
            if not sending.done():
                await _ended(sending)

    async def _well(self, client: httpx.AsyncClient, place: str) -> bool:
        """Whether it does anything in time; a call may take longer.

        One that refuses or breaks connections ends and finishes its calls; that it is gone, the call's own
        connection says.
        """
        import httpx

        try:
            await client.get(f"http://{place}/health", timeout=self._well_within)
        except httpx.TimeoutException:
            return False
        except httpx.TransportError:
            pass
        return True


def _client(connect: float) -> httpx.AsyncClient:
    import httpx

    logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for every request is too much
    # Streams stand for hours, so that nothing but a client's end bounds their number.
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=30)
    timeout = httpx.Timeout(None, connect=connect)
    transport = httpx.AsyncHTTPTransport(limits=limits, socket_options=_WATCHED, trust_env=False)
    return httpx.AsyncClient(transport=transport, timeout=timeout, trust_env=False)


class ClientLeftError(Exception):
    """The client left in the middle of its request."""


async def _body(receive: Receive, sent: asyncio.Event) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeftError
        yield message.get("body", b"")
        more = message.get("more_body", False)
    sent.set()


async def _disconnected(sent: asyncio.Event, receive: Receive) -> None:
    await sent.wait()
    while (await receive())["type"] != "http.disconnect":
        pass


async def _ended(task: asyncio.Future[Any]) -> None:
    task.cancel()
    await asyncio.wait((task,))
    if not task.cancelled():
        task.exception()  # nobody else asks for it


def _start(response: httpx.Response, without: bytes) -> dict[str, Any]:
    headers = [(name.lower(), value) for name, value in response.headers.raw]
    kept = [pair for pair in headers if pair[0] != without and pair[0] not in _OF_THE_CONNECTION]
    return {"type": "http.response.start", "status": response.status_code, "headers": kept}
