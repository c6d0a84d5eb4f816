"""The modern era (2026-07-28): every POST stands for itself."""

from __future__ import annotations

import time
from weakref import WeakSet

from ._common import jsonrpc
from ._common.channel import Channel, ChannelError
from ._common.envelope import PROTOCOL_VERSION, Envelope, read_envelope
from ._common.era_words import REMOVED, error_code
from ._common.error_codes import (
    HEADER_MISMATCH,
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    MISSING_CAPABILITY,
    PARSE_ERROR,
    UNSUPPORTED_VERSION,
)
from ._common.introduction import only_served_versions
from ._common.jsonrpc import Kind, Message
from ._common.subscriptions import LISTEN, final_result
from ._common.versions import MODERN_VERSION
from .metrics import ServerMetrics
from .request.client_call import ClientCall
from .request.http_answer import HttpAnswer
from .request.owned_state import OwnedState
from .server.backend import Backend
from .server.places import Seat
from .server.pool import Pool
from .server.seating import seat_for
from .settings import Server, Settings
from .tool_calls import ToolCalls
from .wire import trace
from .wire.http import Headers, RefusedError, Request
from .wire.mirrored_headers import check_headers, check_params, concerns_params

STATUS = {
    PARSE_ERROR: 400,
    INVALID_REQUEST: 400,
    INVALID_PARAMS: 400,
    METHOD_NOT_FOUND: 404,
    HEADER_MISMATCH: 400,
    MISSING_CAPABILITY: 400,
    UNSUPPORTED_VERSION: 400,
}
"""HTTP status by JSON-RPC error code; 200 for the rest."""

_VERSION = MODERN_VERSION.encode()
_SETTLED_HERE = frozenset(
    (
        "notifications/cancelled",
        "notifications/initialized",
        "notifications/progress",
        "notifications/roots/list_changed",
    )
)
"""Notifications that mean nothing in this era; closing the stream is what cancels a request."""


class ModernEra:
    """Answers POST requests that carry the envelope."""

    def __init__(
        self,
        server: Server,
        settings: Settings,
        pool: Pool,
        metrics: ServerMetrics,
        calls: ToolCalls,
        owned: OwnedState | None,
    ) -> None:
        self.parked = pool.openers.parked
        self._owned = owned
        self._server = server
        self._settings = settings
        self._pool = pool
        self._metrics = metrics
        self._calls = calls
        self._listening: WeakSet[ClientCall] = WeakSet()

    async def handle(self, request: Request) -> None:
        """Answer one POST. Raises RefusedError, MessageError, ChannelError, when nothing was answered."""
        message = jsonrpc.parse(request.body)
        if message.kind is Kind.NOTIFICATION:
            await self._accept(request, message)
            return
        if message.kind is Kind.RESPONSE:
            reason = "a client sends no responses; its answers go into inputResponses of a retry"
            raise RefusedError(400, INVALID_REQUEST, reason)
        if self._owned is not None:
            message = self._owned.inner(message)
        answer = HttpAnswer(request, self._settings.keepalive)
        envelope = _check_envelope(message, request.headers)
        check_headers(message, request.headers)
        if message.method in REMOVED:
            raise RefusedError(
                404, METHOD_NOT_FOUND, f"{message.method} does not exist in this protocol version"
            )
        if message.method == LISTEN and not answer.streamable:
            raise RefusedError(406, INVALID_REQUEST, "Accept must list text/event-stream")
        started = time.monotonic()
        try:
            waiting = self.parked.find(message, request.principal)
            if waiting is not None:
                await self._answer(answer, message, envelope, request, waiting.home)
                return
            seat = await self._seat(request, envelope, message)
            try:
                if concerns_params(message, request.headers):
                    await _check_params(message, request, seat.backend)
                await self._answer(answer, message, envelope, request, seat.backend.channel)
            finally:
                seat.leave()
        finally:
            answer.close()
            self._metrics.sent.inc(answer.sent)
            if message.method != LISTEN:
                self._metrics.latency.observe(time.monotonic() - started)

    async def _answer(
        self, answer: HttpAnswer, message: Message, envelope: Envelope, request: Request, channel: Channel
    ) -> None:
        carried = trace.carry(request.headers, message)
        request.sent = (message.id or b"",)
        call = ClientCall(carried, envelope, request.principal, channel, self._calls.watch)
        if call.listening:
            self._listening.add(call)
        id_, patience = call.turn.client_id, self._server.request_timeout
        reason = "the client has gone"
        try:
            response = await call.attend(answer, patience)
        except TimeoutError:
            reason = "did not answer in time"
            text = f"server {channel.name} did not answer within {patience:g} s"
            await answer.finish(jsonrpc.error(id_, INTERNAL_ERROR, text))
            return
        except ChannelError as problem:
            if not answer.streaming:
                raise
            if call.listening:
                await answer.cut()  # no result, which tells the client to listen again
            else:
                await answer.finish(jsonrpc.error(id_, INTERNAL_ERROR, str(problem)))
            return
        finally:
            call.close(reason)
        if response is None:
            if call.ended:
                await answer.begin()
                await answer.finish(final_result(id_).raw)
        elif response.error is not None:
            await answer.finish(response.with_id(id_), STATUS.get(error_code(response.error), 200))
        else:
            if message.method == "server/discover" and response.result is not None:
                response = response.with_members(result=only_served_versions(response.result))
            if self._owned is not None:
                response = await self._owned.outer(response)
            await answer.finish(response.with_id(id_))

    def drain(self) -> None:
        """End subscriptions, which would never end by themselves."""
        for call in list(self._listening):
            call.end()

    def close(self) -> None:
        """Let go of everything at shutdown."""
        self.drain()
        self.parked.close()

    async def _seat(self, request: Request, envelope: Envelope, message: Message) -> Seat:
        return await seat_for(self._pool, message.method, envelope.capabilities, request.principal)

    async def _accept(self, request: Request, message: Message) -> None:
        named = request.headers.get(b"mcp-protocol-version")
        if named is None:
            raise RefusedError(400, HEADER_MISMATCH, "header MCP-Protocol-Version is missing")
        if named != _VERSION:
            raise _unsupported(named.decode("latin-1"))
        if message.method not in _SETTLED_HERE:
            seat = await self._seat(request, Envelope(MODERN_VERSION, {}, None), message)
            seat.backend.channel.notify(message)
            seat.leave()
        await request.respond(202)


def _check_envelope(message: Message, headers: Headers) -> Envelope:
    """Raises MessageError (-32602) and RefusedError (-32020, -32022)."""
    named = headers.get(b"mcp-protocol-version")
    if PROTOCOL_VERSION not in message.meta and named is not None and named != _VERSION:
        raise _unsupported(named.decode("latin-1"))
    envelope = read_envelope(message)
    if named is None or named.decode("latin-1") != envelope.version:
        reason = "header MCP-Protocol-Version does not match the version in params._meta"
        raise RefusedError(400, HEADER_MISMATCH, reason)
    if envelope.version != MODERN_VERSION:
        raise _unsupported(envelope.version)
    return envelope


def _unsupported(requested: str) -> RefusedError:
    data = {"supported": [MODERN_VERSION], "requested": requested}
    return RefusedError(400, UNSUPPORTED_VERSION, f"protocol version {requested} is not supported", data=data)


async def _check_params(message: Message, request: Request, backend: Backend) -> None:
    name = jsonrpc.decode(message.params.get("name", b"null"))
    if not isinstance(name, str):
        return
    try:
        check_params(message, request.headers, await backend.tool_headers.mirrored(name))
    except RefusedError:
        check_params(message, request.headers, await backend.tool_headers.mirrored(name, fresh=True))
