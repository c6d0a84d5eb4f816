"""The handshake era: 2025-11-25, 2025-06-18 and 2025-03-26 (with batches) over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable

from ._common import jsonrpc
from ._common.channel import Channel, ChannelError, Turn
from ._common.error_codes import INVALID_REQUEST
from ._common.jsonrpc import Kind, Message
from .metrics import ServerMetrics
from .server.pool import Pool
from .session.deadlines import Deadlines
from .session.exchange import Exchange, answer
from .session.session import Session
from .session.sessions import Sessions
from .session.streams import STANDING, Stream, parse_event_id
from .settings import Server, Settings
from .tool_calls import ToolCalls
from .wire import trace
from .wire.http import RefusedError, Request, accepts, event

_SESSION = b"mcp-session-id"
_GONE = "session not found: it ended, or never was; send initialize again"


class HandshakeEra:
    """Answers POST, GET and DELETE of sessions. Each raises RefusedError, MessageError, ChannelError
    or DisconnectedError, when nothing was answered."""

    def __init__(
        self, server: Server, settings: Settings, pool: Pool, metrics: ServerMetrics, calls: ToolCalls
    ) -> None:
        self._server = server
        self._settings = settings
        self._metrics = metrics
        metrics.sessions_limit.set(server.max_sessions)
        self._calls = calls
        self.sessions = Sessions(pool, settings)
        self._streamed: Deadlines[Exchange] = Deadlines(settings.stream_after, Exchange.open_stream)
        self._expiring: Deadlines[Exchange] = Deadlines(server.request_timeout, Exchange.expire)

    def _session(self, request: Request) -> Session:
        id_ = request.headers.get(_SESSION)
        if id_ is None:
            raise RefusedError(400, INVALID_REQUEST, "Mcp-Session-Id is missing; send initialize first")
        session = self.sessions.get(id_, request.principal)
        if session is None:
            raise RefusedError(404, INVALID_REQUEST, _GONE)
        return session

    async def open(
        self, message: Message, principal: str, standing: Stream | None = None
    ) -> tuple[Session, Message]:
        """A session and the server's answer to `initialize`; `standing` is where the session hears what
        belongs to no request. Raises ChannelError."""
        try:
            return await self.sessions.open(message, principal, standing)
        finally:
            self._metrics.sessions.set(len(self.sessions))

    def end(self, session: Session, reason: str) -> None:
        self.sessions.close(session, reason)
        self._metrics.sessions.set(len(self.sessions))

    def sweep(self) -> None:
        self.sessions.sweep()
        self._metrics.sessions.set(len(self.sessions))

    def drain(self) -> None:
        """End the streams that only wait for what a server may say one day."""
        self.sessions.drain()

    def close(self) -> None:
        self.sessions.close_all()
        self._metrics.sessions.set(0)

    # POST

    async def post(self, request: Request) -> None:
        json, sse = accepts(request.headers)
        if not json and not sse:
            raise RefusedError(
                406, INVALID_REQUEST, "Accept must list application/json and text/event-stream"
            )
        body = request.body
        if body.lstrip(b" \t\r\n")[:1] == b"[":
            await self._batch(request, json, sse)
            return
        message = jsonrpc.parse(body)
        if message.method == "initialize" and message.kind is Kind.REQUEST:
            await self._initialize(request, message, json)
            return
        session = self._session(request)
        session.active += 1
        try:
            if message.kind is Kind.REQUEST:
                await self._request(request, session, message, json, sse)
            else:
                await pass_on(session, message)
                await request.respond(202)
        finally:
            session.active -= 1
            session.touch()

    async def _initialize(self, request: Request, message: Message, json: bool) -> None:
        if _SESSION in request.headers:
            self._session(request)
            raise RefusedError(400, INVALID_REQUEST, "this session is initialized already")
        opening = asyncio.ensure_future(self.open(message, request.principal))
        gone = asyncio.ensure_future(request.disconnected())
        try:
            await asyncio.wait((opening, gone), return_when=asyncio.FIRST_COMPLETED)
            if not opening.done():
                opening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                session, response = await opening
                head = [(_SESSION, session.id.encode())] if response.result is not None else []
                await _answer(request, json, response.with_id(message.id or b"null"), head)
        finally:
            gone.cancel()
            opening.cancel()

    async def _request(
        self, request: Request, session: Session, message: Message, json: bool, sse: bool
    ) -> None:
        channel = session.channel_at_hand or await channel_of(session)
        exchange = self._exchange(request, session, channel, sse)
        turn = self._turn(request, exchange, message)
        if isinstance(turn, bytes):
            await _answer(request, json, turn)
            return
        deadlines = self._streamed if sse else self._expiring
        deadlines.add(exchange)
        try:
            await turn.wait()
            if exchange.streaming:
                await exchange.stream_out(request, self._server.request_timeout)
                return
            body = answer(turn)
        finally:
            deadlines.remove(exchange)
            self._metrics.latency.observe(time.monotonic() - turn.started)
        self._metrics.sent.inc(len(body))
        await _answer(request, json, body)

    def _exchange(self, request: Request, session: Session, channel: Channel, sse: bool) -> Exchange:
        exchange = Exchange(session, channel, self._settings, sse, self._calls.watch)
        if request.revoked is not None:
            # A client of this era that only leaves may come back for the answer.
            request.revoked.add_done_callback(lambda _: exchange.cancel("the sign-in behind it was revoked"))
        return exchange

    def _turn(self, request: Request, exchange: Exchange, message: Message) -> Turn | bytes:
        """Send a request on its way; the answer itself if the server need not be asked."""
        message = trace.carry(request.headers, message)
        session = exchange.session
        known = session.answer_subscription(message)
        if known is not None:
            return known.raw
        request.sent += (message.id or b"",)
        return exchange.add(message)

    async def _batch(self, request: Request, json: bool, sse: bool) -> None:
        items = [jsonrpc.parse(item) for item in jsonrpc.split_batch(request.body)]
        session = self._session(request)
        if session.version not in ("2025-03-26", "2024-11-05"):
            reason = f"protocol version {session.version} has no batches; send one message at a time"
            raise RefusedError(400, INVALID_REQUEST, reason)
        if any(item.method == "initialize" for item in items):
            raise RefusedError(400, INVALID_REQUEST, "initialize must not be part of a batch")
        session.active += 1
        try:
            channel = await channel_of(session)
            exchange = self._exchange(request, session, channel, sse)
            answers = []
            for item in items:
                if item.kind is Kind.REQUEST:
                    turn = self._turn(request, exchange, item)
                    if isinstance(turn, bytes):
                        answers.append(turn)
                else:
                    await pass_on(session, item)
            if not exchange.turns and not answers:
                await request.respond(202)
                return
            deadlines = self._streamed if sse else self._expiring
            deadlines.add(exchange)
            try:
                collected = await exchange.collect()
            finally:
                deadlines.remove(exchange)
            if collected is None:
                for known in answers:
                    session.emit(exchange.open_stream(), known, answer=True)
                await exchange.stream_out(request, self._server.request_timeout)
            else:
                await _answer(request, json, b"[" + b",".join((*answers, *collected)) + b"]")
        finally:
            session.active -= 1
            session.touch()

    # GET

    async def get(self, request: Request) -> None:
        if not accepts(request.headers)[1]:
            raise RefusedError(406, INVALID_REQUEST, "Accept must list text/event-stream")
        session = self._session(request)
        last = request.headers.get(b"last-event-id")
        resumed = parse_event_id(last) if last else None
        if last and resumed is None:
            raise RefusedError(400, INVALID_REQUEST, "Last-Event-ID is none that this session sent")
        stream = session.standing
        sequence = stream.sent
        if resumed is not None:
            number, sequence = resumed
            if number != STANDING:
                stream = session.streams.get(number) or finished(number)
        connection = stream.connect()
        for missed in session.store.after(stream.number, sequence):
            stream.push(missed)
        try:
            await request.start_stream()
            await connection.run(request, self._settings)
        finally:
            session.touch()

    # DELETE

    async def delete(self, request: Request) -> None:
        self.end(self._session(request), "deleted by the client")
        await request.respond(200)


def finished(number: int) -> Stream:
    """A stream whose last message was sent already, for replaying what a client missed."""
    stream = Stream(number)
    stream.close()
    return stream


async def pass_on(session: Session, message: Message) -> None:
    """A notification or an answer, to the session's server. Raises ChannelError, RefusedError."""
    channel = await channel_of(session)
    if message.kind is Kind.RESPONSE:
        channel.answer(message, session)
    elif session.exclusive or message.method != "notifications/initialized":
        channel.notify(message, session)
        if message.method == "notifications/initialized":
            session.ready()


async def channel_of(session: Session) -> Channel:
    try:
        return await session.channel()
    except ChannelError as error:
        if session.ended is not None:
            raise RefusedError(404, INVALID_REQUEST, _GONE) from error
        raise


async def _answer(
    request: Request, json: bool, body: bytes, headers: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    """One message, as JSON or as an event stream of one event."""
    if json:
        await request.respond(200, body, headers)
        return
    await request.start_stream(headers)
    await request.send_event(event(body))
    await request.end_stream()
