"""HTTP+SSE, the transport of 2024-11-05: all that comes is on one event stream, all that goes is posted (MCP
2024-11-05, Transports, HTTP with SSE).

The stream is the session: who loses it initializes again on another. Its first event names the address to
post to. What is posted is accepted with 202 before anything is done about it; every answer is on the stream.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from urllib.parse import parse_qs

from ._common import jsonrpc
from ._common.channel import ChannelError, Turn, TurnCancelledError, UnavailableError
from ._common.error_codes import INTERNAL_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND
from ._common.jsonrpc import Kind, Message, MessageError
from .handshake_era import HandshakeEra, channel_of, pass_on
from .metrics import ServerMetrics
from .session.exchange import answer
from .session.session import Session
from .session.sessions import SHARE
from .session.streams import STANDING, Stream
from .settings import Server, Settings
from .tool_calls import ToolCalls
from .wire import trace
from .wire.http import RefusedError, Request, accepts, event

log = logging.getLogger(__name__)

STREAM = "sse"
MESSAGES = "messages"
"""Last segments of the two addresses."""

_WAITING = 256
"""Messages of a client that may wait for those before them."""

_GONE = "this stream has ended, or never was; open another and initialize again"


class HttpSse:
    """Answers the GET that opens a stream and the POSTs that belong to one."""

    def __init__(
        self,
        server: Server,
        settings: Settings,
        handshake: HandshakeEra,
        metrics: ServerMetrics,
        calls: ToolCalls,
    ) -> None:
        self.handshake = handshake
        self.server = server
        self.metrics = metrics
        self.calls = calls
        self._settings = settings
        self._links: dict[str, Link] = {}

    async def get(self, request: Request, messages: str) -> None:
        """Open a stream, whose client posts to the path `messages`. Raises RefusedError, UnavailableError."""
        if not accepts(request.headers)[1]:
            raise RefusedError(406, INVALID_REQUEST, "Accept must list text/event-stream")
        self._check_room(request.principal)
        link = Link(self, request.principal)
        self._links[link.id] = link
        connection = link.stream.connect()
        connection.push(
            b"event: endpoint\ndata: %b?session_id=%b\n\n" % (messages.encode(), link.id.encode()), 0
        )
        working = asyncio.ensure_future(link.work())
        working.add_done_callback(lambda _: link.stream.close())
        silence = asyncio.get_running_loop().call_later(self.server.idle_timeout, link.end_unless_opened)
        try:
            await request.start_stream()
            await connection.run(request, self._settings)
        finally:
            silence.cancel()
            del self._links[link.id]
            working.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await working
            if link.session is not None:
                self.handshake.end(link.session, "its event stream ended")

    async def post(self, request: Request, query: bytes) -> None:
        """Accept what belongs to a stream of the same user, all of it or nothing.

        Raises RefusedError, MessageError, and UnavailableError where so much would not fit beside what waits.
        """
        named = parse_qs(query.decode("latin-1")).get("session_id", [])
        link = self._links.get(named[0]) if len(named) == 1 else None
        if link is None or link.principal != request.principal:
            raise RefusedError(404, INVALID_REQUEST, _GONE)
        body = request.body
        batch = jsonrpc.split_batch(body) if body.lstrip(b" \t\r\n")[:1] == b"[" else [body]
        messages = [trace.carry(request.headers, jsonrpc.parse(item)) for item in batch]
        if len(messages) > _WAITING:
            raise RefusedError(413, INVALID_REQUEST, f"a batch must not have more than {_WAITING} messages")
        if link.inbox.qsize() + len(messages) > _WAITING:
            raise UnavailableError("too many messages of this stream wait to be read", self.server.wait)
        for message in messages:
            link.inbox.put_nowait(message)
            request.sent += (message.id or b"",)
        await request.respond(202)

    def drain(self) -> None:
        """End the streams on which no answer is waited for, and the others with their last answer."""
        for link in list(self._links.values()):
            link.stream.disconnect()

    def _check_room(self, principal: str) -> None:
        most = self.server.max_sessions
        mine = sum(link.principal == principal for link in self._links.values())
        if len(self._links) >= most or (principal and mine >= max(1, most // SHARE)):
            raise UnavailableError(f"server {self.server.name} has too many event streams", self.server.wait)


class Link:
    """One client: its stream, and the session once it has sent `initialize`."""

    def __init__(self, transport: HttpSse, principal: str) -> None:
        self.id = secrets.token_urlsafe(24)
        self.principal = principal
        self.stream = _OnlyStream(self)
        self.session: Session | None = None
        self.inbox: asyncio.Queue[Message] = asyncio.Queue()
        self.finishing = False
        self._transport = transport

    @property
    def busy(self) -> bool:
        return self.session is not None and self.session.active > 0

    def end_unless_opened(self) -> None:
        if self.session is None:
            self.stream.close()

    async def work(self) -> None:
        """Do with each message what it asks for, in the order they came."""
        while True:
            message = await self.inbox.get()
            started = time.monotonic()
            try:
                await self._take(message)
            except (ChannelError, RefusedError, MessageError) as problem:
                if message.kind is Kind.REQUEST:
                    code = problem.code if isinstance(problem, MessageError) else INTERNAL_ERROR
                    self._transport.calls.unsent(message, self.principal, "failed", started)
                    self._say(jsonrpc.error(message.id, code, str(problem)))
            except Exception:
                # Who waits for the answer hears by the end of the stream that there will be none.
                log.exception("event stream failed", extra={"server": self._transport.server.name})
                return

    async def _take(self, message: Message) -> None:
        if message.kind is not Kind.REQUEST:
            if self.session is not None:
                await pass_on(self.session, message)
        elif message.method == "initialize":
            await self._initialize(message)
        elif self.session is None:
            # Clients of both eras ask this first, and take an unknown method for the handshake.
            code = METHOD_NOT_FOUND if message.method == "server/discover" else INVALID_REQUEST
            self._say(jsonrpc.error(message.id, code, "send initialize first"))
        else:
            await self._call(self.session, message)

    async def _initialize(self, message: Message) -> None:
        if self.session is not None:
            self._say(jsonrpc.error(message.id, INVALID_REQUEST, "this session is initialized already"))
            return
        session, response = await self._transport.handshake.open(message, self.principal, self.stream)
        if response.result is not None:
            self.session = session
        self._say(response.with_id(message.id or b"null"))

    async def _call(self, session: Session, message: Message) -> None:
        channel = session.channel_at_hand or await channel_of(session)
        if (known := session.answer_subscription(message)) is not None:
            self._say(known.raw)
            return
        turn = session.turn(message)
        self._transport.calls.watch(turn)
        session.active += 1
        patience = self._transport.server.request_timeout
        timer = asyncio.get_running_loop().call_later(
            patience, channel.expire, turn, "did not answer in time"
        )
        turn.then(lambda settled: self._settled(session, settled, timer))
        try:
            channel.call(turn)
        except ChannelError as problem:
            turn.settle(problem)

    def _settled(self, session: Session, turn: Turn, timer: asyncio.TimerHandle) -> None:
        timer.cancel()
        session.active -= 1
        session.touch()
        self._transport.metrics.latency.observe(time.monotonic() - turn.started)
        if not isinstance(turn.outcome, TurnCancelledError):  # who cancelled waits for nothing
            self._say(answer(turn))
        if self.finishing:
            self.stream.disconnect()

    def _say(self, body: bytes) -> None:
        """Send an answer. Nothing can be resumed here, so that nothing is kept."""
        self._transport.metrics.sent.inc(len(body))
        for connection in self.stream.connections:
            connection.push(event(body), 0)


class _OnlyStream(Stream):
    """All that a client hears: asked to end, it first carries the answers to the open calls."""

    def __init__(self, link: Link) -> None:
        super().__init__(STANDING)
        self._link = link

    def disconnect(self) -> None:
        self._link.finishing = True
        if not self._link.busy:
            self.close()
