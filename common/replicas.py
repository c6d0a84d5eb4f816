"""Several replicas of one service behind a load balancer that knows nothing of sessions.

A session id and a `requestState` name their owner, sealed. A replica that gets another's request forwards it
to its owner as it came; what belongs to a user rather than to an id goes where rendezvous hashing says.
"""

from __future__ import annotations

import hmac
import json
import logging
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from .refusal import refuse
from .replica_forwarding import Forwarder, OwnerHangsError, OwnerLostError, OwnerUnreachableError
from .request_header import header
from .versions import HANDSHAKE_VERSIONS

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from .replica_set import ReplicaSet

log = logging.getLogger(__name__)

HOP = b"x-mcp-replica-hop"
"""On a forwarded request the proof that a replica sent it, on its answer that a replica gave it."""
HOP_LIFETIME = 60.0
"""Seconds for which a hop is taken; the clocks of the replicas' machines may differ by so much."""

_SESSION = b"mcp-session-id"
_VERSION = b"mcp-protocol-version"
_VOUCHED = (_SESSION, b"x-gateway-identity", b"x-user-id", b"last-event-id")
_FORWARDED_ONLY_WITH = b'"requestState"'
_GONE = "session not found: it ended with its replica, or never was; send initialize again"

Key = Callable[["Scope"], str | None]
"""What a request that names no session belongs to, such as its user; None where any replica will do."""


class Replicas:
    """A layer in front of an application that keeps sessions in its process, and of all its checks, since the
    owner checks a forwarded request as if it had come to it. One hop at most.

    404 for a session whose owner is gone, 504 while its owner does not answer, 502 for a call whose owner
    ended before it answered, 403 for a hop that no replica made.
    """

    def __init__(
        self,
        app: ASGIApp,
        replicas: ReplicaSet,
        key: Key,
        max_body: int,
        *,
        forwarder: Forwarder | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.app = app
        self.key = key
        self.max_body = max_body
        self.replicas = replicas
        self.seal = replicas.seal
        self.forwarder = forwarder or Forwarder()
        self.now = now

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not str(scope["path"]).rstrip("/").endswith("/mcp"):
            await self.app(scope, receive, send)
            return
        hop = header(scope, HOP)
        if hop is not None:
            if not await self._made_by_a_replica(scope, hop):
                await refuse(send, 403, "This request says that a replica sent it, and none did.")
                return
            send = _with_header(send, HOP, self._answer_to(hop))
        session = header(scope, _SESSION)
        if session is not None and not speaks_modern(scope):
            await self._session(session, hop is not None, scope, receive, send)
        elif hop is not None:
            await self._here(scope, receive, send)
        else:
            await self._sessionless(scope, receive, send)

    async def _session(self, session: str, hopped: bool, scope: Scope, receive: Receive, send: Send) -> None:
        opened = self.seal.open(session, "session")
        if opened is None:
            await refuse(send, 404, _GONE)
            return
        owner, inner = opened
        if owner == await self.replicas.own():
            await self._here(scope, receive, send, session, inner)
        elif hopped or not await self.replicas.has(owner):
            # An address that the DNS no longer has may be another service's by now.
            await refuse(send, 404, _GONE)
        else:
            try:
                await self._forward(owner, scope, receive, send)
            except OwnerUnreachableError:
                await refuse(send, 404, _GONE)

    async def _sessionless(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = _Body(receive, self.max_body)
        if scope["method"] == "POST" and speaks_modern(scope):
            owner = await self._owner_of_state(body)
            if owner is not None and owner != await self.replicas.own():
                if await self.replicas.has(owner):
                    try:
                        await self._forward(owner, scope, body.anew(), send)
                    except OwnerUnreachableError:
                        await self._here(scope, body.anew(), send)
                    return
            elif owner is not None:
                await self._here(scope, body.anew(), send)
                return
        key = self.key(scope)
        if key is None or not await self._to_place_of(key, scope, body, send):
            await self._here(scope, body.anew(), send)

    async def _to_place_of(self, key: str, scope: Scope, body: _Body, send: Send) -> bool:
        """False, and nothing answered, when the place is here."""
        own = await self.replicas.own()
        for place in await self.replicas.ranking(key):
            if place == own:
                return False
            try:
                await self._forward(place, scope, body.anew(), send)
            except OwnerUnreachableError:
                continue  # no replica has acted on it: the next takes over, for all replicas alike
            return True
        return False

    async def _owner_of_state(self, body: _Body) -> str | None:
        """The owner of the `requestState` in a message, if a replica made that."""
        receive, parts, size, more = body.anew(), list[bytes](), 0, True
        while more and size <= self.max_body:
            message = await receive()
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            more = message.get("more_body", False)
        whole = b"".join(parts)
        if _FORWARDED_ONLY_WITH not in whole:
            return None
        opened = self.seal.open(_state(whole), "state")
        return opened[0] if opened else None

    # this replica

    async def _here(
        self, scope: Scope, receive: Receive, send: Send, session: str = "", inner: str = ""
    ) -> None:
        own = await self.replicas.own()
        if own is None:
            sentence = "This replica does not know its own address yet; try again."
            await refuse(send, 503, sentence, [(b"retry-after", b"2")])
            return
        headers = [pair for pair in scope["headers"] if pair[0] != HOP]
        if inner:
            headers = [(name, inner.encode() if name == _SESSION else value) for name, value in headers]

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {
                    **message,
                    "headers": [self._told(pair, own, session, inner) for pair in message["headers"]],
                }
            await send(message)

        await self.app({**scope, "headers": headers}, receive, answer)

    def _told(self, pair: tuple[bytes, bytes], own: str, session: str, inner: str) -> tuple[bytes, bytes]:
        name, value = pair
        if name.lower() != _SESSION:
            return pair
        text = value.decode("latin-1")
        return name, (session if inner and text == inner else self.seal.close(own, text, "session")).encode()

    # another replica

    async def _forward(self, owner: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises OwnerUnreachableError while nothing was sent there or answered."""
        stamp = f"{self.now():.0f}.{os.urandom(12).hex()}"
        hop = f"{stamp}.{self.seal.proof(stamp.encode(), *_vouched_for(scope, owner))}"
        try:
            await self.forwarder.forward(
                owner, scope, (HOP, hop.encode()), (HOP, self._answer_to(hop)), receive, send
            )
        except OwnerHangsError:
            log.warning("replica %s does not answer", owner)
            sentence = "The replica that has this session does not answer; try again."
            await refuse(send, 504, sentence, [(b"retry-after", b"5")])
        except OwnerLostError:
            log.warning("replica %s ended before it answered", owner)
            await refuse(send, 502, "The replica that had this session ended before it answered.")

    async def _made_by_a_replica(self, scope: Scope, hop: str) -> bool:
        stamp, _, proof = hop.rpartition(".")
        when = stamp.partition(".")[0]
        own = await self.replicas.own()
        if own is None or not hop.isascii() or not when.isdigit() or len(when) > 12:
            return False
        right = self.seal.proof(stamp.encode(), *_vouched_for(scope, own))
        return hmac.compare_digest(proof, right) and abs(self.now() - int(when)) <= HOP_LIFETIME

    def _answer_to(self, hop: str) -> bytes:
        return self.seal.proof(b"answer", hop.encode()).encode()


def speaks_modern(scope: Scope) -> bool:
    """Whether a request says that it is of the era without sessions (2026-07-28)."""
    version = header(scope, _VERSION)
    return version is not None and version not in HANDSHAKE_VERSIONS


def _vouched_for(scope: Scope, owner: str) -> list[bytes]:
    """What of a request a hop's proof is over: for whom, and all that decides on whose behalf."""
    said = [header(scope, name) or "" for name in _VOUCHED]
    target = scope.get("raw_path") or str(scope["path"]).encode()
    words = [owner, str(scope["method"]), *said]
    return [target, scope["query_string"], *(word.encode("latin-1") for word in words)]


def _state(body: bytes) -> str:
    """The `requestState` of a message; empty when it has none."""
    try:
        state = json.loads(body)["params"]["requestState"]
    except (ValueError, RecursionError, KeyError, TypeError):
        return ""
    return state if isinstance(state, str) else ""


class _Body:
    """A request's body as it arrives, from its beginning for each who reads it, one after the other: what
    read it first may turn out to be no replica.

    Nothing is kept after the message that passes `limit`: the application refuses what is so long.
    """

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive = receive
        self._limit = limit
        self._kept: list[Message] = []
        self._size = 0

    def anew(self) -> Receive:
        left = iter(list(self._kept))

        async def next_one() -> Message:
            if (known := next(left, None)) is not None:
                return known
            message = await self._receive()
            if message["type"] == "http.request" and self._size <= self._limit:
                self._kept.append(message)
                self._size += len(message.get("body", b""))
            return message

        return next_one


def _with_header(send: Send, name: bytes, value: bytes) -> Send:
    async def with_header(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], (name, value)]}
        await send(message)

    return with_header
