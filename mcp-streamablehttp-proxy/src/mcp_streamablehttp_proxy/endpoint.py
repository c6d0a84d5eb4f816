"""The endpoint of one server: checks, then one of the two eras, or the transport before them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from ._common import jsonrpc
from ._common.channel import ChannelError, UnavailableError
from ._common.error_codes import INTERNAL_ERROR, INVALID_REQUEST
from ._common.identity_header import REVOKED
from ._common.jsonrpc import Kind, Message, MessageError
from ._common.replica_set import ReplicaSet
from ._common.versions import HANDSHAKE_VERSIONS
from .handshake_era import HandshakeEra
from .http_sse import MESSAGES, STREAM, HttpSse
from .metrics import ServerMetrics
from .modern_era import ModernEra
from .request.owned_state import OwnedState
from .security import Guard
from .server.pool import Pool
from .settings import Server, Settings
from .tool_calls import ToolCalls
from .wire.http import (
    DisconnectedError,
    Headers,
    Receive,
    RefusedError,
    Request,
    Scope,
    Send,
    read_body,
    read_headers,
)

log = logging.getLogger(__name__)

_HANDSHAKE = frozenset(version.encode() for version in HANDSHAKE_VERSIONS)
_NOTHING: Mapping[str, Any] = {}
_VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
_VERSION_END = b'/protocolVersion"'
"""What a body with that key contains: searched for in every body, so as short as can be."""


def last_segment(path: str) -> str:
    """The last segment of a path, with or without a slash at its end."""
    return path.rstrip("/").rpartition("/")[2]


class Endpoint:
    """Plain ASGI. Every failure leaves as an HTTP status with a JSON-RPC error."""

    def __init__(
        self,
        server: Server,
        settings: Settings,
        guard: Guard,
        pool: Pool,
        metrics: ServerMetrics,
        replicas: ReplicaSet | None,
    ) -> None:
        self.server = server
        self.pool = pool
        owned = OwnedState(replicas) if replicas else None
        self._calls = ToolCalls(server.name, metrics)
        self.handshake = HandshakeEra(server, settings, pool, metrics, self._calls)
        self.modern = ModernEra(server, settings, pool, metrics, self._calls, owned)
        self.http_sse = (
            HttpSse(server, settings, self.handshake, metrics, self._calls) if settings.sse else None
        )
        self._guard = guard
        self._max_body = settings.max_body
        self._public_url = settings.public_url
        self._metrics = metrics
        self._active = 0
        self._quiet: asyncio.Event | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope["method"], {}, "", receive, send)
        request.revoked = scope.get("state", _NOTHING).get(REVOKED)
        self._active += 1
        try:
            request.headers = headers = read_headers(scope)
            self._guard.check(headers)
            request.principal = self._guard.principal(headers)
            if self.http_sse is None or (place := last_segment(scope["path"])) == "mcp":
                await self._streamable(request)
            else:
                await self._http_sse(self.http_sse, place, request, scope)
        except DisconnectedError:
            self._note_unsent(request, "cancelled")
            return
        except RefusedError as refusal:
            await self._refuse(request, refusal)
        except MessageError as problem:
            await self._refuse(request, RefusedError(400, problem.code, problem.reason))
        except UnavailableError as problem:
            retry = [(b"retry-after", b"%d" % problem.retry_after)]
            await self._refuse(request, RefusedError(503, INTERNAL_ERROR, str(problem), headers=retry))
        except ChannelError as problem:
            await self._refuse(request, RefusedError(502, INTERNAL_ERROR, str(problem)))
        finally:
            self._active -= 1
            if self._quiet is not None and not self._active:
                self._quiet.set()
        self._metrics.answered(request.era, request.status)

    async def _streamable(self, request: Request) -> None:
        """Streamable HTTP, of both eras."""
        version = request.headers.get(b"mcp-protocol-version")
        modern = version is not None and version not in _HANDSHAKE
        if request.method == "POST":
            await self._read(request)
            if modern or _says_modern(request):
                request.era = "modern"
                await self.modern.handle(request)
            else:
                await self.handshake.post(request)
        elif modern or request.method not in ("GET", "DELETE"):
            raise _not_allowed(b"POST" if modern else b"GET, POST, DELETE")
        elif request.method == "GET":
            await self.handshake.get(request)
        else:
            await self.handshake.delete(request)

    async def _http_sse(self, transport: HttpSse, place: str, request: Request, scope: Scope) -> None:
        wanted = "GET" if place == STREAM else "POST"
        if request.method != wanted:
            raise _not_allowed(wanted.encode())
        if place == STREAM:
            await transport.get(request, self._public_path(scope, MESSAGES))
        else:
            await self._read(request)
            await transport.post(request, scope.get("query_string", b""))

    async def _read(self, request: Request) -> None:
        _check_content(request.headers)
        request.body = await read_body(request.receive, request.headers, self._max_body)
        self._metrics.received.inc(len(request.body))

    def _public_path(self, scope: Scope, place: str) -> str:
        """What clients have to write for an address beside that of the request."""
        path: str = scope["path"]
        if self._public_url is not None:
            root = scope.get("root_path", "")
            path = urlsplit(self._public_url.base).path + path.removeprefix(root)
        return quote(f"{path.rstrip('/').rpartition('/')[0]}/{place}")

    def sweep(self) -> None:
        """Close idle sessions, end idle children."""
        self.handshake.sweep()
        self.pool.reap()

    def drain(self) -> None:
        self.modern.drain()
        self.handshake.drain()
        if self.http_sse is not None:
            self.http_sse.drain()

    def abandon(self, reason: str) -> None:
        """Answer all open calls with an error."""
        self.modern.parked.close()
        self.pool.abandon(reason)

    async def close(self) -> None:
        self.modern.close()
        self.handshake.close()
        await self.pool.close()

    async def retire(self) -> None:
        """Close after the calls in flight are answered, at the latest after `request_timeout`."""
        self.drain()
        if self._active:
            self._quiet = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.server.request_timeout):
                    await self._quiet.wait()
        await self.close()

    async def _refuse(self, request: Request, refusal: RefusedError) -> None:
        if request.status:
            log.warning("answer cut short", extra={"server": self.server.name, "reason": refusal.reason})
            return
        self._note_unsent(request, "failed" if refusal.status >= 500 else "refused")
        id_ = refusal.id or _id_of(request.body)
        body = jsonrpc.error(id_, refusal.code, refusal.reason, refusal.data)
        await request.respond(refusal.status, body, refusal.headers)

    def _note_unsent(self, request: Request, outcome: str) -> None:
        """Calls of tools that were not sent on their way are calls all the same to who reads of them."""
        for message in _messages(request.body):
            if message.kind is Kind.REQUEST and message.id not in request.sent:
                self._calls.unsent(message, request.principal, outcome, request.begun)


def _messages(body: bytes) -> list[Message]:
    """The messages of a body that are any."""
    try:
        batch = jsonrpc.split_batch(body) if body.lstrip(b" \t\r\n")[:1] == b"[" else [body]
        return [jsonrpc.parse(item) for item in batch]
    except MessageError:
        return []


def _check_content(headers: Headers) -> None:
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise RefusedError(415, INVALID_REQUEST, "Content-Encoding is not supported; send the body as it is")
    value = headers.get(b"content-type", b"")
    if value != b"application/json" and value.partition(b";")[0].strip().lower() != b"application/json":
        raise RefusedError(415, INVALID_REQUEST, "Content-Type must be application/json")


def _not_allowed(allow: bytes) -> RefusedError:
    return RefusedError(405, INVALID_REQUEST, "method not allowed", headers=[(b"allow", allow)])


def _says_modern(request: Request) -> bool:
    """Whether a body without the header of the modern era carries its envelope all the same; not
    where the headers name both a session and a version that has sessions."""
    if b"mcp-session-id" in request.headers and b"mcp-protocol-version" in request.headers:
        return False
    if _VERSION_END not in request.body:
        return False
    try:
        return _VERSION_KEY in jsonrpc.parse(request.body).meta
    except MessageError:
        return False


def _id_of(body: bytes) -> bytes | None:
    """The id that an error answers; None when the body is no request."""
    try:
        message: Message = jsonrpc.parse(body)
    except MessageError:
        return None
    return message.id
