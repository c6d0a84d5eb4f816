"""A server that only knows the handshake, as a channel of 2026-07-28.

Requests lose their envelope, results gain what the modern era says of them, and the server's questions
become `input_required`: the call at the server then waits, parked, for the retry that brings the answers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import Raw

from . import jsonrpc
from .channel import (
    Channel,
    ChannelError,
    LoopTimers,
    Owner,
    Timer,
    Timers,
    Turn,
    TurnCancelledError,
    UnavailableError,
)
from .client_capabilities import (
    ASKED_OF_CLIENTS,
    MAY_NEED_INPUT,
    declares,
    missing_capability_error,
    needed_capability,
    undeclared,
)
from .envelope import LOG_LEVELS, Envelope, read_envelope, unwrap
from .era_words import REMOVED, URL_ELICITATION_REQUIRED, error_code, error_to_modern, result_to_modern
from .error_codes import METHOD_NOT_FOUND
from .input_required import input_request, input_required, input_responses, url_requests
from .introduction import capabilities, discover_from_initialize, server_info
from .jsonrpc import Kind, Members, Message, MessageError
from .parked_calls import ParkedCalls
from .subscriptions import LISTEN, Subscriptions

_GATHERING = 0.03
"""Seconds without another question after which those asked so far are put to the client."""

_URL_ELICITATION: dict[str, Any] = {"elicitation": {"url": {}}}
_WITHDRAWN = "notifications/elicitation/complete"
_NOT_FORWARDED = frozenset(
    (
        "notifications/cancelled",
        "notifications/initialized",
        "notifications/progress",
        "notifications/roots/list_changed",
    )
)
"""Notifications that mean nothing in the modern era, where closing the stream cancels a request."""


class OpenCall:
    """One call at the server, over as many requests of its client as it needs."""

    def __init__(self, home: ModernToHandshake, turn: Turn, envelope: Envelope, given: Members) -> None:
        self.home = home
        self.principal = turn.principal
        self.method = turn.message.method
        self.turn: Turn | None = turn
        """The client's request that waits now; None while the call is parked."""
        self.envelope = envelope
        self.inner: Turn | None = None
        """The request at the server, once it is sent."""
        self.asked: dict[str, Message] = {}
        """The server's questions that wait for the client, by key."""
        self.given = given
        self.gathering: Timer | None = None
        self._keys: set[str] = set()

    def key(self, question: Message) -> str:
        """The server's own id if that is a word; else what it asks for, counted."""
        own = jsonrpc.decode(question.id or b"null")
        key = own if isinstance(own, str) and 0 < len(own) <= 128 else ""
        count = 0
        while not key or key in self._keys:
            count += 1
            key = f"{question.method.partition('/')[0]}-{count}"
        self._keys.add(key)
        return key

    def give_up(self, reason: str) -> None:
        self.home.end(self, reason)


class ModernToHandshake:
    """Each server process or connection has one; the parked calls are those of the whole server."""

    label = "modern clients"

    def __init__(
        self,
        server: Channel,
        introduction: Raw,
        parked: ParkedCalls[OpenCall],
        timers: Timers | None = None,
    ) -> None:
        self._server = server
        self._timers = timers or LoopTimers()
        self._parked = parked
        self._discovered = discover_from_initialize(introduction)
        self._info = server_info(introduction)
        self._subscriptions = Subscriptions(server, introduction, self, self._timers)
        self._owners: list[Owner] = []
        self._calls: dict[Turn, OpenCall] = {}
        self._open: set[OpenCall] = set()
        self._can_log = "logging" in capabilities(introduction)
        self._level = len(LOG_LEVELS)
        self._setting: Turn | None = None
        server.attach(self)

    # Channel

    @property
    def name(self) -> str:
        return self._server.name

    @property
    def owners(self) -> Iterable[Owner]:
        return self._owners

    @property
    def open(self) -> Iterable[Turn]:
        calls = (call.inner or call.turn for call in self._open)
        return [turn for turn in (*calls, *self._subscriptions.open) if turn is not None and not turn.upkeep]

    def attach(self, owner: Owner) -> None:
        self._owners.append(owner)

    def detach(self, owner: Owner) -> None:
        if owner in self._owners:
            self._owners.remove(owner)
        for turn in [turn for turn in self._calls if turn.owner is owner]:
            self.cancel(turn, "the client has gone")

    def call(self, turn: Turn) -> None:
        method = turn.message.method
        try:
            if method == "server/discover":
                turn.settle(turn.message.answered(self._discovered))
            elif method == LISTEN:
                self._subscriptions.add(turn)
            elif method in REMOVED:
                reason = f"{method} does not exist in this protocol version"
                turn.settle(turn.message.refused(METHOD_NOT_FOUND, reason))
            else:
                self._begin(turn)
        except MessageError as problem:
            turn.settle(turn.message.refused(problem.code, problem.reason))

    def notify(self, message: Message, owner: Owner | None = None) -> None:
        if message.method not in _NOT_FORWARDED:
            self._server.notify(unwrap(message), self)

    def answer(self, message: Message, owner: Owner) -> bool:
        return False

    def cancel(self, turn: Turn, reason: str) -> None:
        call = self._calls.get(turn)
        if call is not None:
            call.home.end(call, reason)
            turn.settle(TurnCancelledError(reason))
        else:
            self._subscriptions.cancel(turn, reason)

    def expire(self, turn: Turn, reason: str) -> None:
        call = self._calls.get(turn)
        if call is not None:
            call.home.end(call, reason)
            turn.settle(turn.expired(self.name, reason))

    # a request on its way to the server

    def _begin(self, turn: Turn) -> None:
        message = turn.message
        envelope = read_envelope(message)
        given: Members = {}
        if message.method in MAY_NEED_INPUT:
            answers = input_responses(message)
            parked = self._parked.resume(message, turn.principal)
            if parked is not None:
                self._keep(turn, parked)
                parked.home.go_on(parked, turn, envelope, answers)
                return
            # A call made anew was told to visit URLs: that is no answer to what the server asks now.
            given = {} if "requestState" in message.params else answers
        call = OpenCall(self, turn, envelope, given)
        self._open.add(call)
        self._keep(turn, call)
        self._set_level(envelope)
        if self._setting is None or self._setting.settled:
            self._send(call)
        else:
            self._setting.then(lambda _: self._send_late(call))

    def _keep(self, turn: Turn, call: OpenCall) -> None:
        self._calls[turn] = call
        turn.then(lambda _: self._calls.pop(turn, None))

    def _send(self, call: OpenCall) -> None:
        """Raises ChannelError."""
        turn = call.turn
        assert turn is not None
        message = (
            unwrap(turn.message, "inputResponses", "requestState")
            if call.method in MAY_NEED_INPUT
            else (unwrap(turn.message))
        )
        inner = Turn(
            message, self, principal=call.principal, capabilities=call.envelope.capabilities, asker=call
        )
        inner.context = call
        try:
            self._server.call(inner)
        except ChannelError:
            self._open.discard(call)
            self._calls.pop(turn, None)
            raise
        call.inner = inner
        inner.then(lambda _: self._answered(call))

    def _send_late(self, call: OpenCall) -> None:
        if call in self._open and call.turn is not None:
            try:
                self._send(call)
            except ChannelError as problem:
                call.turn.settle(problem)

    def _set_level(self, envelope: Envelope) -> None:
        """Have the server log at a level at least this verbose; each request gets what it asked for."""
        if self._can_log and envelope.log_level is not None and envelope.log_level < self._level:
            self._level = envelope.log_level
            message = Message.request("logging/setLevel", {"level": LOG_LEVELS[self._level]})
            setting = Turn(message, self, background=True)
            self._server.call(setting)
            self._setting = setting

    def go_on(self, call: OpenCall, turn: Turn, envelope: Envelope, answers: Members) -> None:
        """Give the server the answers it waits for; what it did not ask for is ignored."""
        call.turn = turn
        call.envelope = envelope
        for key, question in list(call.asked.items()):
            if key in answers:
                del call.asked[key]
                self._server.answer(question.answered(answers[key]), self)
        if call.inner is not None and call.inner.settled:
            self._answered(call)
        elif call.asked:
            self._gather(call)

    def end(self, call: OpenCall, reason: str) -> None:
        """Forget a call; one that is not answered is cancelled at the server."""
        self._open.discard(call)
        if call.gathering is not None:
            call.gathering.cancel()
        for question in call.asked.values():
            self._refuse(question, reason)
        call.asked.clear()
        call.turn = None
        if call.inner is not None:
            self._server.cancel(call.inner, reason)

    # from the server

    def deliver(self, message: Message, turn: Turn | None) -> None:
        call = turn.context if turn is not None and isinstance(turn.context, OpenCall) else None
        method = message.method
        if message.kind is Kind.REQUEST:
            self._asked(message, call)
        elif method == "notifications/cancelled":
            self._withdrawn(message)
        elif self._subscriptions.wants(message):
            self._subscriptions.hear(message)
        elif call is not None and call.turn is not None:
            if method == "notifications/progress":
                token = call.turn.token
                if token is None:
                    return
                message = message.with_params({**message.params, "progressToken": token})
            elif method == _WITHDRAWN or (
                method == "notifications/message" and not call.envelope.wants(message)
            ):
                return
            call.turn.owner.deliver(message, call.turn)

    def wants(self, message: Message) -> bool:
        return self._subscriptions.wants(message)

    def lost(self, reason: str) -> None:
        self._subscriptions.lost(reason)
        owners, self._owners = self._owners, []
        for owner in owners:
            owner.lost(reason)

    # the server's questions

    def _asked(self, question: Message, call: OpenCall | None) -> None:
        if question.method == "ping":
            self._server.answer(question.answered(b"{}"), self)
            return
        if question.method not in ASKED_OF_CLIENTS or call is None or call.method not in MAY_NEED_INPUT:
            self._refuse(question, f"no client can be asked {question.method} now")
            return
        needed = needed_capability(question.method, question.params)
        if not declares(call.envelope.capabilities, needed):
            if call.inner is not None:
                call.inner.refused.append(needed)
            self._refuse(question, undeclared(needed))
            return
        key = call.key(question)
        if key in call.given:
            self._server.answer(question.answered(call.given[key]), self)
            return
        call.asked[key] = question
        if call.turn is not None:
            self._gather(call)

    def _refuse(self, question: Message, reason: str) -> None:
        self._server.answer(question.refused(METHOD_NOT_FOUND, reason), self)

    def _gather(self, call: OpenCall) -> None:
        """Servers ask several things at once: wait for the last of them."""
        if call.gathering is not None:
            call.gathering.cancel()
        call.gathering = self._timers.call_later(_GATHERING, self._put, call)

    def _put(self, call: OpenCall) -> None:
        """Put the questions to the client, and let the call wait."""
        turn = call.turn
        if turn is None or not call.asked:
            return
        try:
            state = self._parked.park(call, turn.message)
        except UnavailableError as problem:
            self.end(call, str(problem))
            turn.settle(problem)
            return
        call.turn = None
        asked = {key: input_request(one.method, one.params) for key, one in call.asked.items()}
        self._complete(turn, Raw(input_required(asked, state)))

    def _withdrawn(self, message: Message) -> None:
        """The server no longer waits for an answer."""
        wanted = message.params.get("requestId")
        for call in self._open:
            for key, question in list(call.asked.items()):
                if wanted is not None and question.id == bytes(wanted):
                    del call.asked[key]

    # its answer

    def _answered(self, call: OpenCall) -> None:
        turn, inner = call.turn, call.inner
        if turn is None or inner is None:
            return  # parked: the retry gets the answer
        self._open.discard(call)
        if call.gathering is not None:
            call.gathering.cancel()
        try:
            response = inner.response()
        except TurnCancelledError as problem:
            turn.settle(ChannelError(f"the call was cancelled: {problem}"))
        except ChannelError as problem:
            turn.settle(problem)
        else:
            self._translate(call, turn, response)

    def _translate(self, call: OpenCall, turn: Turn, response: Message) -> None:
        assert call.inner is not None
        error = None if response.error is None else error_to_modern(response.error)
        complaint = _complaint(response)
        relied_on = [needed for needed in call.inner.refused if undeclared(needed) in complaint]
        if relied_on:
            error = missing_capability_error(relied_on, f"the server needs more of its client: {complaint}")
        elif response.error is not None and error_code(response.error) == URL_ELICITATION_REQUIRED:
            if not declares(call.envelope.capabilities, _URL_ELICITATION):
                reason = "the server needs the client to open a URL"
                error = missing_capability_error([_URL_ELICITATION], reason)
            elif call.method in MAY_NEED_INPUT and (urls := url_requests(response.error)):
                state = self._parked.state_for_a_new_call(turn.message, turn.principal)
                self._complete(turn, Raw(input_required(urls, state)))
                return
        if error is not None:
            members = {key: value for key, value in response.members.items() if key != "result"}
            turn.settle(jsonrpc.parse(jsonrpc.dump({**members, "error": error})))
        elif response.result is not None:
            result = Raw(result_to_modern(response.result, call.method, self._info))
            turn.settle(response.with_members(result=result))

    def _complete(self, turn: Turn, result: Raw) -> None:
        turn.settle(turn.message.answered(result_to_modern(result, turn.message.method, self._info)))


def _complaint(response: Message) -> str:
    """What the server itself said about its failure; "" for a success."""
    if response.error is not None:
        said = jsonrpc.object_members(response.error).get("message")
        return str(jsonrpc.decode(said)) if said is not None else ""
    result = jsonrpc.object_members(response.result)
    failed = result.get("isError")
    if failed is None or bytes(failed) != b"true":
        return ""
    content = jsonrpc.decode(result.get("content", Raw(b"[]")))
    if not isinstance(content, list):
        return ""
    texts = [one["text"] for one in content if isinstance(one, dict) and isinstance(one.get("text"), str)]
    return " ".join(texts)
