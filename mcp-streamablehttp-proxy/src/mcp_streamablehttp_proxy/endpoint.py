"""The `/mcp` endpoint of one server: checks, then one of the two eras."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Final

from . import jsonrpc
from .call import ChildError
from .http import Disconnected, Receive, Refused, Request, Scope, Send, read_body, read_headers
from .jsonrpc import Message, MessageError
from .legacy import LegacyEra
from .metrics import ServerMetrics
from .modern.era import ModernEra
from .pool import Pool, Unavailable
from .security import Guard
from .settings import HANDSHAKE_VERSIONS, Server, Settings

log = logging.getLogger(__name__)

_HANDSHAKE: Final = frozenset(version.encode() for version in HANDSHAKE_VERSIONS)
_VERSION_KEY: Final = "io.modelcontextprotocol/protocolVersion"
_VERSION_END: Final = b'/protocolVersion"'
"""What a body with that key contains: searched for in every body, so as short as can be."""


class Endpoint:
    """Plain ASGI. Every failure leaves as an HTTP status with a JSON-RPC error."""

    def __init__(
        self, server: Server, settings: Settings, guard: Guard, pool: Pool, metrics: ServerMetrics
    ) -> None:
        self.server = server
        self.pool = pool
        self.legacy = LegacyEra(server, settings, pool, metrics)
        self.modern = ModernEra(server, settings, pool, metrics)
        self._guard = guard
        self._max_body = settings.max_body
        self._metrics = metrics
        self._active = 0
        self._quiet: asyncio.Event | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope["method"], {}, "", receive, send)
        era = "handshake"
        self._active += 1
        try:
            request.headers = headers = read_headers(scope)
            self._guard.check(headers)
            request.principal = self._guard.principal(headers)
            version = headers.get(b"mcp-protocol-version")
            modern = version is not None and version not in _HANDSHAKE
            if request.method == "POST":
                _check_content_type(headers.get(b"content-type", b""))
                request.body = await read_body(receive, headers, self._max_body)
                self._metrics.received.inc(len(request.body))
                if modern or _says_modern(request):
                    era = "modern"
                    await self.modern.handle(request)
                else:
                    await self.legacy.post(request)
            elif modern or request.method not in ("GET", "DELETE"):
                await self._refuse(request, _not_allowed(modern))
            elif request.method == "GET":
                await self.legacy.get(request)
            else:
                await self.legacy.delete(request)
        except Disconnected:
            return
        except Refused as refusal:
            await self._refuse(request, refusal)
        except MessageError as problem:
            await self._refuse(request, Refused(400, problem.code, problem.reason))
        except ChildError as problem:
            await self._refuse(request, Refused(502, jsonrpc.INTERNAL_ERROR, str(problem)))
        except Unavailable as problem:
            retry = [(b"retry-after", b"%d" % problem.retry_after)]
            await self._refuse(request, Refused(503, jsonrpc.INTERNAL_ERROR, str(problem), headers=retry))
        finally:
            self._active -= 1
            if self._quiet is not None and not self._active:
                self._quiet.set()
        self._metrics.answered(era, request.status)

    def sweep(self) -> None:
        """Close idle sessions, end idle children."""
        self.legacy.sweep()
        self.pool.reap()

    def drain(self) -> None:
        self.modern.drain()
        self.legacy.drain()

    async def close(self) -> None:
        self.modern.close()
        self.legacy.close()
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

    async def _refuse(self, request: Request, refusal: Refused) -> None:
        if request.status:
            log.warning("answer cut short", extra={"server": self.server.name, "reason": refusal.reason})
            return
        id_ = refusal.id or _id_of(request.body)
        body = jsonrpc.error(id_, refusal.code, refusal.reason, refusal.data)
        await request.respond(refusal.status, body, refusal.headers)


def _check_content_type(value: bytes) -> None:
    if value != b"application/json" and value.partition(b";")[0].strip().lower() != b"application/json":
        raise Refused(415, -32600, "Content-Type must be application/json")


def _not_allowed(modern: bool) -> Refused:
    allow = b"POST" if modern else b"GET, POST, DELETE"
    return Refused(405, -32600, "method not allowed", headers=[(b"allow", allow)])


def _says_modern(request: Request) -> bool:
    """Whether a body without the header of the stateless era carries its envelope all the same; not
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
