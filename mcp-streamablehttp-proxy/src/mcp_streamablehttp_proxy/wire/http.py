"""The little HTTP that the endpoints need, as plain ASGI."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from .._common.accept import Accepted, accepted
from .._common.error_codes import INVALID_REQUEST
from .._common.versions import Era

Scope = MutableMapping[str, Any]
ASGIMessage = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[ASGIMessage]]
Send = Callable[[ASGIMessage], Awaitable[None]]
Headers = dict[bytes, bytes]

MAX_UNSENT = 16 * 1024 * 1024
"""Bytes that may wait for a client that does not read."""

_SLICE = 1024 * 1024
"""Bytes written at once: the rest of a large answer waits until the client has read."""

_SINGLE = frozenset(
    (
        b"host",
        b"origin",
        b"content-type",
        b"content-length",
        b"mcp-session-id",
        b"mcp-protocol-version",
        b"mcp-method",
        b"mcp-name",
        b"last-event-id",
        b"x-user-id",
        b"x-user-name",
        b"x-client-id",
    )
)
_JSON = (b"content-type", b"application/json")
EVENT_STREAM = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]


class RefusedError(Exception):
    """The request is answered with this HTTP status and a JSON-RPC error."""

    def __init__(
        self,
        status: int,
        code: int,
        reason: str,
        *,
        id_: bytes | None = None,
        data: object = None,
        headers: Iterable[tuple[bytes, bytes]] = (),
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.code = code
        self.reason = reason
        self.id = id_
        self.data = data
        self.headers = tuple(headers)


class DisconnectedError(Exception):
    """The client went away before its request was read."""


class Request:
    """One HTTP request to an endpoint; `principal` is the signed-in user, "" when unknown."""

    __slots__ = (
        "begun",
        "body",
        "era",
        "headers",
        "method",
        "principal",
        "receive",
        "revoked",
        "send",
        "sent",
        "status",
    )

    def __init__(self, method: str, headers: Headers, principal: str, receive: Receive, send: Send) -> None:
        self.method = method
        self.headers = headers
        self.principal = principal
        self.receive = receive
        self.send = send
        self.body = b""
        self.era: Era = "handshake"
        self.status = 0
        """The status answered, 0 while nothing was."""
        self.begun = time.monotonic()
        self.sent: tuple[bytes, ...] = ()
        """Ids of the requests in the body that were sent on their way."""
        self.revoked: asyncio.Future[None] | None = None
        """Done once the sign-in behind the request holds no longer; None where nobody watches over it."""

    async def respond(
        self,
        status: int,
        body: bytes = b"",
        headers: Iterable[tuple[bytes, bytes]] = (),
    ) -> None:
        """A whole answer; a body is JSON."""
        self.status = status
        head = [(b"content-length", b"%d" % len(body)), *headers]
        if body:
            head.append(_JSON)
        await self.send({"type": "http.response.start", "status": status, "headers": head})
        await self.send({"type": "http.response.body", "body": body})

    async def start_stream(self, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """Begin an event stream; then `send_event` and `end_stream`."""
        self.status = 200
        head = [*EVENT_STREAM, *headers]
        await self.send({"type": "http.response.start", "status": 200, "headers": head})
        # Proxies in between may hold the head back until there is a body.
        await self.send_event(b":\n\n")

    async def send_event(self, event: bytes) -> None:
        for start in range(0, len(event), _SLICE):
            part = event[start : start + _SLICE]
            await self.send({"type": "http.response.body", "body": part, "more_body": True})

    async def end_stream(self) -> None:
        await self.send({"type": "http.response.body", "body": b""})

    async def disconnected(self) -> None:
        """Returns when the client has closed the connection. Use once, after the body was read."""
        while (await self.receive())["type"] != "http.disconnect":
            pass


def event(data: bytes, id_: bytes | None = None) -> bytes:
    """One SSE event `message` with a single line of JSON as its data."""
    if id_ is None:
        return b"event: message\ndata: %b\n\n" % data
    return b"id: %b\nevent: message\ndata: %b\n\n" % (id_, data)


def read_headers(scope: Scope) -> Headers:
    """The headers, names in lower case. Raises RefusedError when a header that decides is repeated."""
    headers: Headers = {}
    for name, padded in scope["headers"]:
        value = padded.strip(b" \t")
        if name not in headers:
            headers[name] = value
        elif name in _SINGLE:
            raise RefusedError(400, INVALID_REQUEST, f"header {name.decode('latin-1')} came more than once")
        else:
            headers[name] += b"," + value
    return headers


async def read_body(receive: Receive, headers: Headers, limit: int) -> bytes:
    """The request body. Raises RefusedError (413) above `limit` bytes, and DisconnectedError."""
    declared = headers.get(b"content-length", b"0")
    if not declared.isdigit() or int(declared) > limit:
        raise RefusedError(413, INVALID_REQUEST, f"the body must not exceed {limit} bytes")
    message = await receive()
    if message["type"] == "http.disconnect":
        raise DisconnectedError
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        if len(body) > limit:
            raise RefusedError(413, INVALID_REQUEST, f"the body must not exceed {limit} bytes")
        return body
    chunks, size = [body], len(body)
    while message.get("more_body"):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise DisconnectedError
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > limit:
            raise RefusedError(413, INVALID_REQUEST, f"the body must not exceed {limit} bytes")
    return b"".join(chunks)


def accepts(headers: Headers) -> Accepted:
    """Whether the client takes JSON, and whether it takes an event stream."""
    header = headers.get(b"accept")
    return accepted(None if header is None else header.decode("latin-1"))
