"""One handshake-era session: its child, its streams, and where the server's own messages go."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from typing import Final

from . import jsonrpc
from .call import Call, CallCancelled, ChildError
from .child import Child
from .handshake import introduction_for, missing_capability
from .jsonrpc import Kind, Members, Message
from .modern.dialect import interpreted, introduced_ahead
from .pool import Pool, Purpose, Unavailable
from .settings import Settings
from .streams import STANDING, EventStore, Stream

log = logging.getLogger(__name__)

_EXCHANGE_ERRORS: Final = (ChildError, CallCancelled)


class Session:
    """Created by `initialize`; the owner of its calls at the child."""

    def __init__(self, pool: Pool, settings: Settings, principal: str) -> None:
        self.id = secrets.token_urlsafe(24)
        self.principal = principal
        self.version = ""
        self.capabilities: Members = {}
        self.ended: str | None = None
        self.last_used = time.monotonic()
        self.active = 0
        """HTTP requests being answered."""
        self.store = EventStore(settings)
        self.standing = Stream(STANDING)
        self.streams: dict[int, Stream] = {}
        self.subscriptions: set[str] = set()
        self._pool = pool
        self._settings = settings
        self._child: Child | None = None
        self._joining: asyncio.Task[Child] | None = None
        self._numbers = 0

    @property
    def label(self) -> str:
        return self.id

    @property
    def exclusive(self) -> bool:
        return self._pool.server.isolation == "session"

    @property
    def primed(self) -> bool:
        """Whether this client understands events without data (2025-11-25, SEP-1699)."""
        return self.version == "2025-11-25"

    # opening and closing

    async def open(self, message: Message) -> Message:
        """Answer `initialize`. Raises ChildError or Unavailable."""
        self.capabilities = jsonrpc.object_members(message.params.get("capabilities"))
        response = await (self._open_exclusive if self.exclusive else self._open_joint)(message)
        if response.result is not None:
            result = jsonrpc.object_members(response.result)
            version = jsonrpc.decode(result["protocolVersion"]) if "protocolVersion" in result else ""
            self.version = version if isinstance(version, str) else ""
            self._pool.succeeded()
        return response

    async def _open_exclusive(self, message: Message) -> Message:
        async def open_ahead(child: Child) -> None:
            child.greeting = await introduced_ahead(child, message)

        purpose = Purpose(bytes(message.members.get("params", b"")), open_ahead)
        child = self._child = await self._pool.exclusive(self.id, purpose)
        child.attach(self)
        if child.greeting is not None:
            return child.greeting
        call = child.call(message, self, keep_id=True)
        patience = self._pool.server.start_timeout
        late = asyncio.get_running_loop().call_later(
            patience, child.fail, f"did not answer initialize within {patience:g} s"
        )
        try:
            response = await call.response()
        finally:
            late.cancel()
        if response.result is None:
            return await interpreted(child, message) or response
        return response

    async def _open_joint(self, message: Message) -> Message:
        child = await self._join()
        requested = jsonrpc.decode(message.params.get("protocolVersion", b'""'))
        introduction = jsonrpc.object_members(child.introduction)
        result = introduction_for(introduction, requested if isinstance(requested, str) else "")
        return jsonrpc.parse(jsonrpc.result(message.id or b"null", result))

    @property
    def child_at_hand(self) -> Child | None:
        """The child that serves this session, if nothing must be done to have it."""
        child = self._child
        return child if child is not None and child.alive else None

    async def child(self) -> Child:
        """The child that serves this session. Raises ChildError, Unavailable."""
        if (child := self.child_at_hand) is not None:
            return child
        if self.exclusive:
            raise ChildError(f"server {self._pool.server.name} {self.ended or 'has ended'}")
        return await self._join()

    async def _join(self) -> Child:
        principal = self.principal if self._pool.server.isolation == "user" else ""
        child = await self._pool.joint(principal, "handshake")
        if child is not self._child:
            self._child = child
            child.attach(self)
            for uri in self.subscriptions:
                child.call(jsonrpc.parse(jsonrpc.request(0, "resources/subscribe", {"uri": uri})), self)
        return child

    def close(self) -> None:
        """Let go of the child and of every connection."""
        self.ended = self.ended or "session was closed"
        child, self._child = self._child, None
        if child is not None:
            if self.exclusive:
                self._pool.release(child)
            else:
                child.detach(self)
        for stream in (self.standing, *self.streams.values()):
            stream.close()
        self.streams.clear()

    @property
    def idle(self) -> bool:
        """Whether nothing is under way and nobody listens."""
        return not self.active and not self.standing.connected and not self.streams

    def touch(self) -> None:
        self.last_used = time.monotonic()

    # streams

    def new_stream(self) -> Stream:
        self._numbers += 1
        stream = self.streams[self._numbers] = Stream(self._numbers)
        return stream

    def emit(self, stream: Stream, data: bytes) -> None:
        """Send a message on a stream, or keep it until somebody resumes the stream."""
        stream.push(self.store.add(stream.number, data))

    def finish(self, stream: Stream, data: bytes) -> None:
        """Send a stream's last message."""
        self.emit(stream, data)
        self.end(stream)

    def end(self, stream: Stream) -> None:
        stream.close()
        self.streams.pop(stream.number, None)
        self.touch()

    # Owner

    def deliver(self, message: Message, call: Call | None) -> None:
        if message.kind is Kind.REQUEST and not self.exclusive:
            lacking = missing_capability(message.method, self.capabilities)
            if lacking is not None and self._child is not None:
                reason = f"the client did not declare the capability {lacking}"
                refusal = jsonrpc.error(message.id, jsonrpc.METHOD_NOT_FOUND, reason)
                self._child.answer(jsonrpc.parse(refusal), self)
                return
        stream = self.standing
        if call is not None and call.context is not None:
            related = call.context.related()
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
            self._child = None
            self.standing.close()

    # subscriptions, where several sessions share a child

    def note_subscription(self, message: Message) -> Message | None:
        """Keep count of who follows which resource; a response if the child must not be asked."""
        uri = jsonrpc.decode(message.params.get("uri", b"null"))
        if not isinstance(uri, str):
            return None
        if message.method == "resources/subscribe":
            self.subscriptions.add(uri)
            return None
        self.subscriptions.discard(uri)
        others = self._child.owners if self._child is not None else ()
        if any(isinstance(o, Session) and uri in o.subscriptions for o in others):
            return jsonrpc.parse(jsonrpc.result(message.id or b"null", b"{}"))
        return None


class Sessions:
    """All sessions of one server, found by id by the user that opened them and nobody else."""

    def __init__(self, pool: Pool, settings: Settings) -> None:
        self._pool = pool
        self._settings = settings
        self._sessions: dict[bytes, Session] = {}
        self._opening = 0

    def __len__(self) -> int:
        return len(self._sessions)

    def get(self, id_: bytes, principal: str) -> Session | None:
        session = self._sessions.get(id_)
        if session is None or session.principal != principal or session.ended is not None:
            return None
        return session

    async def open(self, message: Message, principal: str) -> tuple[Session, Message]:
        """A new session and the server's answer to `initialize`; kept only if that is a result.

        Raises ChildError, Unavailable.
        """
        server = self._pool.server
        if len(self._sessions) + self._opening >= server.max_sessions:
            raise Unavailable(
                f"server {server.name} is at its limit of {server.max_sessions} sessions", server.wait
            )
        session = Session(self._pool, self._settings, principal)
        self._opening += 1
        try:
            response = await session.open(message)
            if response.result is None:
                session.close()
            else:
                self._sessions[session.id.encode()] = session
                log.info("session opened", extra={"server": server.name, "session": session.id})
        except BaseException:
            session.close()
            raise
        finally:
            self._opening -= 1
        return session, response

    def close(self, session: Session, reason: str) -> None:
        if self._sessions.pop(session.id.encode(), None) is not None:
            extra = {"server": self._pool.server.name, "session": session.id, "reason": reason}
            log.info("session closed", extra=extra)
        session.close()

    def sweep(self) -> None:
        """Close what has ended or was idle for `idle_timeout`; forget old events."""
        now = time.monotonic()
        for session in list(self._sessions.values()):
            if session.ended is not None:
                self.close(session, session.ended)
            elif session.idle and now - session.last_used > self._pool.server.idle_timeout:
                self.close(session, "idle")
            else:
                session.store.expire()

    def drain(self) -> None:
        """Disconnect the standing streams; a client may come back to them."""
        for session in self._sessions.values():
            session.standing.disconnect()

    def close_all(self) -> None:
        for session in list(self._sessions.values()):
            self.close(session, "shutdown")
