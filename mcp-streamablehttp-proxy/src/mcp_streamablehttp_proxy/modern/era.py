"""The stateless era (2026-07-28): every POST stands for itself."""

from __future__ import annotations

import time
from typing import Final
from weakref import WeakSet

from .. import jsonrpc, trace
from ..http import Refused, Request
from ..jsonrpc import INVALID_REQUEST, METHOD_NOT_FOUND, Kind, Message
from ..metrics import ServerMetrics
from ..pool import Pool
from ..settings import Server, Settings
from .answer import Answer
from .backend import Backend
from .envelope import check_version, read_envelope, unwrap
from .mirror import check_headers, check_params, concerns_params
from .native import LISTEN, pass_on
from .party import Party
from .rounds import Rounds
from .translate import REMOVED
from .translated import translate

_SETTLED_HERE: Final = frozenset(
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

    def __init__(self, server: Server, settings: Settings, pool: Pool, metrics: ServerMetrics) -> None:
        self.rounds = Rounds()
        self._server = server
        self._settings = settings
        self._pool = pool
        self._metrics = metrics
        self._parties: WeakSet[Party] = WeakSet()

    async def handle(self, request: Request) -> None:
        """Answer one POST. Raises Refused, MessageError, ChildError, Unavailable."""
        message = jsonrpc.parse(request.body)
        if message.kind is Kind.NOTIFICATION:
            await self._accept(request, message)
            return
        if message.kind is Kind.RESPONSE:
            reason = "a client sends no responses; its answers go into inputResponses of a retry"
            raise Refused(400, INVALID_REQUEST, reason)
        answer = Answer(request, self._settings.keepalive)
        envelope = read_envelope(message, request.headers)
        check_headers(message, request.headers)
        if message.method in REMOVED:
            raise Refused(404, METHOD_NOT_FOUND, f"{message.method} does not exist in this protocol version")
        if message.method == LISTEN and not answer.streamable:
            raise Refused(406, INVALID_REQUEST, "Accept must list text/event-stream")
        started = time.monotonic()
        backend = await self._backend(request)
        if concerns_params(message, request.headers):
            await _check_params(message, request, backend)
        message = trace.carry(request.headers, message)
        party = backend.party(request.principal)
        self._parties.add(party)
        try:
            if backend.child.era == "modern":
                await pass_on(answer, message, envelope, party, self._server.request_timeout)
            else:
                await translate(answer, message, envelope, backend, party, self.rounds)
        finally:
            answer.close()
            self._metrics.sent.inc(answer.sent)
            if message.method != LISTEN:
                self._metrics.latency.observe(time.monotonic() - started)

    def drain(self) -> None:
        """End subscriptions, which would never end by themselves."""
        for party in list(self._parties):
            party.let_go()

    def close(self) -> None:
        """Let go of everything at shutdown."""
        self.drain()
        self.rounds.close()

    async def _backend(self, request: Request) -> Backend:
        principal = "" if self._server.isolation == "shared" else request.principal
        return Backend.of(await self._pool.joint(principal, "modern"))

    async def _accept(self, request: Request, message: Message) -> None:
        check_version(request.headers)
        if message.method not in _SETTLED_HERE:
            backend = await self._backend(request)
            told = message if backend.child.era == "modern" else unwrap(message)
            backend.child.notify(told, backend.party(request.principal))
        await request.respond(202)


async def _check_params(message: Message, request: Request, backend: Backend) -> None:
    name = jsonrpc.decode(message.params.get("name", b"null"))
    if not isinstance(name, str):
        return
    try:
        check_params(message, request.headers, await backend.catalogue.mirrored(name))
    except Refused:
        check_params(message, request.headers, await backend.catalogue.mirrored(name, fresh=True))
