"""One handshake session: its server, its streams, and where the server's own messages go."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import Any

from .._common import jsonrpc
from .._common.channel import Channel, ChannelError, Turn
from .._common.client_capabilities import ASKED_OF_CLIENTS, declares, needed_capability, undeclared
from .._common.error_codes import METHOD_NOT_FOUND
from .._common.introduction import initialize_for
from .._common.jsonrpc import Kind, Message
from ..server.backend import Backend
from ..server.pool import Pool
from ..server.told import told
from ..settings import Settings
from .events import Budget, EventStore
from .streams import STANDING, Stream

_SUBSCRIBING = ("resources/subscribe", "resources/unsubscribe")


class Session:
    """Created by `initialize`; the owner of its turns."""

    def __init__(
        self,
        pool: Pool,
        settings: Settings,
        principal: str,
        budget: Budget | None = None,
        standing: Stream | None = None,
    ) -> None:
        self.id = secrets.token_urlsafe(24)
        self.principal = principal
        self.version = ""
        self.capabilities: Mapping[str, Any] = {}
        self.ended: str | None = None
        self.last_used = time.monotonic()
        self.active = 0
        """POST requests being answered."""
        self.store = EventStore(settings, budget)
        self.standing = standing or Stream(STANDING)
        self.streams: dict[int, Stream] = {}
        self.subscriptions: set[str] = set()
        self._pool = pool
        self._backend: Backend | None = None
        self._used = False
        self._numbers = 0

    @property
    def label(self) -> str:
        """Short, since who knows the whole id may use the session."""
        return self.id[:8]

    @property
    def exclusive(self) -> bool:
        return self._pool.server.isolation == "session"

    @property
    def primed(self) -> bool:
        """Whether this client understands events without data (2025-11-25, SEP-1699)."""
        return self.version == "2025-11-25"

    # opening and closing

    async def open(self, message: Message) -> Message:
        """Answer `initialize`. Raises ChannelError."""
        declared = jsonrpc.decode(message.params.get("capabilities", b"{}"))
        self.capabilities = declared if isinstance(declared, dict) else {}
        response = await (self._open_exclusive if self.exclusive else self._open_joint)(message)
        if response.result is not None:
            result = jsonrpc.object_members(response.result)
            version = jsonrpc.decode(result["protocolVersion"]) if "protocolVersion" in result else ""
            self.version = version if isinstance(version, str) else ""
        return response

    async def _open_exclusive(self, message: Message) -> Message:
        backend = await self._pool.exclusive(
            self.label, self.principal, self._pool.openers.for_session(message)
        )
        self._backend = backend
        backend.channel.attach(self)
        for early in backend.heard:
            self.deliver(early, None)
        assert backend.greeting is not None
        return backend.greeting

    async def _open_joint(self, message: Message) -> Message:
        backend = await self._join()
        requested = jsonrpc.decode(message.params.get("protocolVersion", b'""'))
        introduction = jsonrpc.object_members(backend.introduction)
        return message.answered(initialize_for(introduction, requested if isinstance(requested, str) else ""))

    def ready(self) -> None:
        """The client has said that its server, which it has to itself, may be used.

        It may say so again, or late: then the server may list by now what this client made it list.
        """
        if self._backend is not None and not self._used:
            self._used = True
            self._pool.tools.learn(self._backend, modern=False)

    @property
    def channel_at_hand(self) -> Channel | None:
        """The server of this session, if nothing must be done to have it."""
        backend = self._backend
        return backend.channel if backend is not None and backend.child.alive else None

    async def channel(self) -> Channel:
        """The server of this session. Raises ChannelError."""
        if (channel := self.channel_at_hand) is not None:
            return channel
        if self.exclusive:
            raise ChannelError(f"server {self._pool.server.name} {self.ended or 'has ended'}")
        return (await self._join()).channel

    async def _join(self) -> Backend:
        server, openers = self._pool.server, self._pool.openers
        principal = self.principal if server.isolation == "user" else ""
        backend = await self._pool.joint(principal, openers.for_sessions(told(server, self.capabilities)))
        if backend is not self._backend:
            self._backend = backend
            backend.channel.attach(self)
            for uri in self.subscriptions:
                backend.channel.call(self.turn(Message.request("resources/subscribe", {"uri": uri})))
        return backend

    def close(self) -> None:
        """Let go of the server and of every connection."""
        self.ended = self.ended or "session was closed"
        backend, self._backend = self._backend, None
        if backend is not None:
            if self.exclusive:
                self._pool.release(backend.child)
            else:
                backend.channel.detach(self)
        for stream in (self.standing, *self.streams.values()):
            stream.close()
        self.streams.clear()
        self.store.clear()

    @property
    def quiet(self) -> bool:
        """Whether nothing is under way; somebody may listen."""
        return not self.active and not self.streams

    @property
    def idle(self) -> bool:
        """Whether nothing is under way and nobody listens."""
        return self.quiet and not self.standing.connected

    def touch(self) -> None:
        self.last_used = time.monotonic()

    def turn(self, message: Message) -> Turn:
        self._used = True
        return Turn(
            message,
            self,
            principal=self.principal,
            capabilities=self.capabilities,
            keep_id=self.exclusive,
        )

    # streams

    def new_stream(self) -> Stream:
        self._numbers += 1
        stream = self.streams[self._numbers] = Stream(self._numbers)
        return stream

    def emit(self, stream: Stream, data: bytes, *, answer: bool = False) -> None:
        """Send a message on a stream, or keep it until somebody resumes the stream."""
        stream.push(self.store.add(stream.number, data, answer=answer))

    def end(self, stream: Stream) -> None:
        stream.close()
        self.streams.pop(stream.number, None)
        self.touch()

    # Owner

    def deliver(self, message: Message, turn: Turn | None) -> None:
        if message.method in ASKED_OF_CLIENTS and message.kind is Kind.REQUEST and not self.exclusive:
            needed = needed_capability(message.method, message.params)
            if self._backend is not None and not declares(self.capabilities, needed):
                refusal = message.refused(METHOD_NOT_FOUND, undeclared(needed))
                self._backend.channel.answer(refusal, self)
                return
        stream = self.standing
        if turn is not None and turn.context is not None:
            related = turn.context.related()
            if related is not None:
                stream = related
        self.emit(stream, message.raw)

    def wants(self, message: Message) -> bool:
        if self.exclusive or message.method != "notifications/resources/updated":
            return True
        uri = message.params.get("uri")
        return uri is not None and jsonrpc.decode(uri) in self.subscriptions

    def lost(self, reason: str) -> None:
        if self.exclusive and self.ended is None:
            self.ended = reason
            self._backend = None
            self.standing.close()

    # subscriptions, where several sessions share a server

    def answer_subscription(self, message: Message) -> Message | None:
        """Keep count of who follows which resource; a response if the server must not be asked."""
        if self.exclusive or message.method not in _SUBSCRIBING:
            return None
        uri = jsonrpc.decode(message.params.get("uri", b"null"))
        if not isinstance(uri, str):
            return None
        if message.method == "resources/subscribe":
            self.subscriptions.add(uri)
            return None
        self.subscriptions.discard(uri)
        others = self._backend.channel.owners if self._backend is not None else ()
        if any(isinstance(other, Session) and uri in other.subscriptions for other in others):
            return message.answered(b"{}")
        return None
