"""A server that only knows 2026-07-28, as a channel of the handshake era.

Requests get their envelope, `input_required` becomes requests to the session and its answers the retry,
and changed lists and resources are listened for. Sessions need not know.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from msgspec import Raw

from . import jsonrpc
from .channel import Channel, ChannelError, LoopTimers, Owner, Timers, Turn, TurnCancelledError
from .envelope import CLIENT_CAPABILITIES, LOG_LEVEL, SUBSCRIPTION_ID, envelope_of, tag, wrap
from .era_words import result_to_handshake
from .error_codes import INTERNAL_ERROR, METHOD_NOT_FOUND
from .introduction import capabilities, offers
from .jsonrpc import Kind, Members, Message
from .subscriptions import LISTEN

_MOST_ROUNDS = 64
_BETWEEN_ROUNDS = 0.1
"""Seconds before a server that asked nothing, but wants a retry, gets one."""

_CANCEL = Raw(b'{"action":"cancel"}')
_NOT_FORWARDED = ("notifications/initialized", "notifications/roots/list_changed")
_OF_SUBSCRIPTIONS = ("notifications/subscriptions/acknowledged", "notifications/cancelled")
_EMPTY = Raw(b"{}")


class _Call:
    """A session's request, for which several are made at the server if that asks back."""

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.inner: Turn | None = None
        self.questions: dict[bytes, tuple[str, str]] = {}
        """Those put to the session, by their id: key and method."""
        self.answers: dict[str, Raw] = {}
        self.state: Raw | None = None
        self.rounds = 0


class HandshakeToModern:
    """Each server process or connection has one; `client_info` goes into every request."""

    label = "sessions"

    def __init__(
        self, server: Channel, discovered: Raw, client_info: Raw, timers: Timers | None = None
    ) -> None:
        self._server = server
        self._timers = timers or LoopTimers()
        self._can = discovered
        self._envelope = envelope_of(client_info, _EMPTY)
        self._levels: dict[int, Raw] = {}
        self._owners: list[Owner] = []
        self._calls: dict[Turn, _Call] = {}
        self._numbers = itertools.count(1)
        self._uris: list[str] = []
        self._listening: Turn | None = None
        server.attach(self)
        self._listen()

    # Channel

    @property
    def name(self) -> str:
        return self._server.name

    @property
    def owners(self) -> Iterable[Owner]:
        return self._owners

    @property
    def open(self) -> Iterable[Turn]:
        return list(self._calls)

    def attach(self, owner: Owner) -> None:
        self._owners.append(owner)

    def detach(self, owner: Owner) -> None:
        if owner in self._owners:
            self._owners.remove(owner)
        self._levels.pop(id(owner), None)
        for call in list(self._calls.values()):
            if call.turn.owner is owner:
                self.cancel(call.turn, "the client has gone")

    def call(self, turn: Turn) -> None:
        result = self._own(turn)
        if result is not None:
            turn.settle(turn.message.answered(result))
            return
        call = self._calls[turn] = _Call(turn)  # first: a server may answer while it is called
        turn.then(lambda _: self._calls.pop(turn, None))
        try:
            self._send(call)
        except ChannelError:
            self._calls.pop(turn, None)
            raise

    def _own(self, turn: Turn) -> Raw | None:
        """The result of a request that the modern era does not have."""
        message = turn.message
        if message.method == "logging/setLevel":
            self._levels[id(turn.owner)] = message.params.get("level", Raw(b'"info"'))
        elif message.method in ("resources/subscribe", "resources/unsubscribe"):
            uri = jsonrpc.decode(message.params.get("uri", b"null"))
            self._uris = [one for one in self._uris if one != uri]
            if message.method == "resources/subscribe" and isinstance(uri, str):
                self._uris.append(uri)
            self._listen()
        elif message.method != "ping":
            return None
        return _EMPTY

    def notify(self, message: Message, owner: Owner | None = None) -> None:
        if message.method == "notifications/cancelled":
            wanted = bytes(message.params.get("requestId") or b"")
            for turn in [one for one in self._calls if one.owner is owner and one.client_id == wanted]:
                self.cancel(turn, "cancelled by the client")
        elif message.method not in _NOT_FORWARDED:
            self._server.notify(message, self)

    def answer(self, message: Message, owner: Owner) -> bool:
        for call in self._calls.values():
            if call.turn.owner is owner and message.id in call.questions:
                key, method = call.questions.pop(message.id)
                result = message.result
                if result is None and method == "elicitation/create":
                    result = _CANCEL
                if result is None:
                    self._fail(call, f"the client did not answer {method}", message.error)
                    return True
                call.answers[key] = result
                if not call.questions:
                    self._again(call)
                return True
        return False

    def cancel(self, turn: Turn, reason: str) -> None:
        if self._drop(turn, reason):
            turn.settle(TurnCancelledError(reason))

    def expire(self, turn: Turn, reason: str) -> None:
        if self._drop(turn, reason):
            turn.settle(turn.expired(self.name, reason))

    def _drop(self, turn: Turn, reason: str) -> bool:
        call = self._calls.pop(turn, None)
        if call is None:
            return False
        if call.inner is not None:
            self._server.cancel(call.inner, reason)
        for id_ in call.questions:
            turn.owner.deliver(Message.cancellation(id_, reason), turn)
        call.questions.clear()
        return True

    # towards the server

    def _send(self, call: _Call) -> None:
        """Raises ChannelError."""
        turn = call.turn
        level = self._levels.get(id(turn.owner))
        message = wrap(
            turn.message,
            {
                **self._envelope,
                CLIENT_CAPABILITIES: Raw(jsonrpc.encode(turn.capabilities)),
                **({} if level is None else {LOG_LEVEL: level}),
            },
        )
        added: Members = {}
        if call.rounds and call.answers:
            added["inputResponses"] = Raw(jsonrpc.dump(call.answers))
        if call.state is not None:
            added["requestState"] = call.state
        if added:
            message = message.with_params({**message.params, **added})
        inner = Turn(
            message, self, principal=turn.principal, capabilities=turn.capabilities, asker=turn.asker
        )
        inner.context = call
        self._server.call(inner)
        call.inner = inner
        inner.then(lambda _: self._answered(call, inner))

    def _again(self, call: _Call) -> None:
        if call.turn in self._calls:
            try:
                self._send(call)
            except ChannelError as problem:
                self._fail(call, str(problem), None)

    def _answered(self, call: _Call, inner: Turn) -> None:
        if call.inner is not inner or call.turn not in self._calls:
            return
        call.inner = None
        try:
            response = inner.response()
        except (ChannelError, TurnCancelledError) as problem:
            self._drop(call.turn, str(problem))
            call.turn.settle(problem)
            return
        if response.result is not None:
            members = jsonrpc.object_members(response.result)
            if members.get("resultType") == Raw(b'"input_required"'):
                self._ask(call, members)
                return
            changed = Raw(result_to_handshake(response.result, call.turn.message.method))
            response = response.with_members(result=changed)
        call.turn.settle(response)

    def _ask(self, call: _Call, result: Members) -> None:
        call.rounds += 1
        call.answers = {}
        call.state = result.get("requestState")
        if call.rounds > _MOST_ROUNDS:
            self._fail(call, f"the server asked more than {_MOST_ROUNDS} times", None)
            return
        asked = jsonrpc.object_members(result.get("inputRequests"))
        for key, raw in asked.items():
            id_ = jsonrpc.encode(f"input-{next(self._numbers)}")
            question = jsonrpc.parse(
                jsonrpc.dump({"jsonrpc": b'"2.0"', "id": id_, **jsonrpc.object_members(raw)})
            )
            call.questions[id_] = (key, question.method)
            call.turn.owner.deliver(question, call.turn)
        if not asked:
            self._timers.call_later(_BETWEEN_ROUNDS, self._again, call)

    def _fail(self, call: _Call, reason: str, error: Raw | None) -> None:
        said = jsonrpc.object_members(error).get("message")
        text = reason if said is None else f"{reason}: {jsonrpc.decode(said)}"
        self._drop(call.turn, reason)
        call.turn.settle(call.turn.message.refused(INTERNAL_ERROR, text))

    # subscriptions

    def _listen(self) -> None:
        """Listen for what the server offers to tell; a new listener takes over from an old one."""
        can = self._can
        wanted: dict[str, object] = {
            f"{name}ListChanged": True for name in capabilities(can) if offers(can, name, "listChanged")
        }
        if self._uris:
            wanted["resourceSubscriptions"] = self._uris
        before, self._listening = self._listening, None
        if wanted:
            message = wrap(Message.request(LISTEN, {"notifications": wanted}), self._envelope)
            self._listening = Turn(message, self, upkeep=True)
            self._server.call(self._listening)
        if before is not None:
            self._server.cancel(before, "replaced by a newer subscription")

    # from the server

    def deliver(self, message: Message, turn: Turn | None) -> None:
        if message.kind is Kind.REQUEST:
            reason = "a server of 2026-07-28 asks by its results"
            self._server.answer(message.refused(METHOD_NOT_FOUND, reason), self)
        elif turn is not None and turn is self._listening:
            untagged = tag(message, SUBSCRIPTION_ID, None)
            if message.method not in _OF_SUBSCRIPTIONS:
                for owner in list(self._owners):
                    if owner.wants(untagged):
                        owner.deliver(untagged, None)
        elif turn is not None and isinstance(turn.context, _Call):
            turn.context.turn.owner.deliver(message, turn.context.turn)

    def wants(self, message: Message) -> bool:
        return False

    def lost(self, reason: str) -> None:
        """Calls that wait for their session get no answer either."""
        for turn in list(self._calls):
            self._drop(turn, reason)
            turn.settle(ChannelError(reason))
        owners, self._owners = self._owners, []
        for owner in owners:
            owner.lost(reason)
