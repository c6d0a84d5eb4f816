"""A child that speaks only 2026-07-28, behind sessions of the handshake era.

Installed on the child as its `dialect`, it stands between the owners and the wire: requests get
their envelope, `input_required` becomes requests to the session, and changed lists and resources
are listened for. Sessions need not know.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import Final

from msgspec import Raw

from .. import jsonrpc
from ..call import Call, CallCancelled, ChildError, Owner
from ..child import Child
from ..handshake import ALL_CAPABILITIES, CLIENT_INFO, Introducer, open_handshake
from ..jsonrpc import Kind, Members, Message
from ..settings import LATEST_HANDSHAKE_VERSION, MODERN_VERSION
from . import envelope
from .discover import capabilities, initialize_from_discover, offers
from .probe import ask, discovered
from .translate import result_to_handshake

_PATIENCE: Final = 10.0
_MOST_ROUNDS: Final = 64
_BETWEEN_ROUNDS: Final = 0.1
_CANCEL: Final = Raw(b'{"action":"cancel"}')
_NOT_FORWARDED: Final = ("notifications/initialized", "notifications/roots/list_changed")
_OF_SUBSCRIPTIONS: Final = ("notifications/subscriptions/acknowledged", "notifications/cancelled")
_EMPTY: Final = Raw(b"{}")


class Conversation(Call):
    """A session's request, for which several are made at the child if that asks back."""

    __slots__ = ("answers", "leg", "message", "open", "rounds", "state")

    def __init__(self, id_: bytes, message: Message, owner: Owner) -> None:
        future: asyncio.Future[Message | None] = asyncio.get_running_loop().create_future()
        super().__init__(id_, message, owner, future)
        self.leg: Call | None = None
        self.open: dict[bytes, tuple[str, str]] = {}
        """Questions to the session by their id: key and method."""
        self.answers: dict[str, Raw] = {}
        self.state: Raw | None = None
        self.rounds = 0


class Interpreter:
    """One per child; `client_info` and `client_capabilities` go into every request."""

    label = "sessions"

    def __init__(self, child: Child, client_info: Raw, client_capabilities: Raw) -> None:
        self._child = child
        self._envelope: dict[str, Raw] = {
            envelope.PROTOCOL_VERSION: Raw(jsonrpc.encode(MODERN_VERSION)),
            envelope.CLIENT_INFO: client_info,
            envelope.CLIENT_CAPABILITIES: client_capabilities,
        }
        self._conversations: dict[bytes, Conversation] = {}
        self._numbers = itertools.count(1)
        self._questions = itertools.count(1)
        self._uris: list[str] = []
        self._listening: Call | None = None
        self._relisten()

    # from the sessions

    def call(self, message: Message, owner: Owner) -> Call:
        """Send a request, or answer it here. Raises ChildError."""
        conversation = Conversation(b"%d" % next(self._numbers), message, owner)
        if (result := self._own(message)) is not None:
            _settle(conversation, jsonrpc.parse(jsonrpc.result(conversation.id, result)))
        else:
            self._send(conversation)
            self._conversations[conversation.id] = conversation
        return conversation

    def _own(self, message: Message) -> Raw | None:
        """The result of a request that the stateless era does not have."""
        if message.method == "logging/setLevel":
            self._envelope[envelope.LOG_LEVEL] = message.params.get("level", Raw(b'"info"'))
        elif message.method in ("resources/subscribe", "resources/unsubscribe"):
            uri = jsonrpc.decode(message.params.get("uri", b"null"))
            self._uris = [one for one in self._uris if one != uri]
            if message.method == "resources/subscribe" and isinstance(uri, str):
                self._uris.append(uri)
            self._relisten()
        elif message.method != "ping":
            return None
        return _EMPTY

    def notify(self, message: Message, owner: Owner) -> None:
        if message.method == "notifications/cancelled":
            wanted = message.params.get("requestId")
            for conversation in list(self._conversations.values()):
                mine = conversation.owner is owner and wanted is not None
                if mine and bytes(wanted or b"") == conversation.client_id:
                    self.cancel(conversation, "cancelled by the client")
        elif message.method not in _NOT_FORWARDED:
            self._child.notify(message, self)

    def answer(self, message: Message, owner: Owner) -> bool:
        """Take a session's answer to a question; False if none of that id was put to it."""
        for conversation in self._conversations.values():
            if conversation.owner is owner and message.id in conversation.open:
                key, method = conversation.open.pop(message.id)
                result = message.result
                if result is None and method == "elicitation/create":
                    result = _CANCEL
                if result is None:
                    self._fail(conversation, f"the client did not answer {method}", message.error)
                    return True
                conversation.answers[key] = result
                if not conversation.open:
                    self._again(conversation)
                return True
        return False

    def cancel(self, call: Call, reason: str) -> None:
        conversation = self._drop(call, reason)
        if conversation is not None and not conversation.future.done():
            conversation.future.set_exception(CallCancelled(reason))
            conversation.future.exception()

    def expire(self, call: Call, reason: str) -> None:
        conversation = self._drop(call, reason)
        if conversation is not None:
            text = f"server {self._child.server.name} {reason}"
            _settle(conversation, _error(conversation, jsonrpc.REQUEST_TIMEOUT, text))

    def detach(self, owner: Owner) -> None:
        for conversation in list(self._conversations.values()):
            if conversation.owner is owner:
                self.cancel(conversation, "the client has gone")

    def lost(self, reason: str) -> None:
        """The child has ended: also those that wait for their session get no answer."""
        for conversation in list(self._conversations.values()):
            self._drop(conversation, reason)
            if not conversation.future.done():
                conversation.future.set_exception(ChildError(reason))
                conversation.future.exception()

    def _drop(self, call: Call, reason: str) -> Conversation | None:
        conversation = self._conversations.pop(call.id, None)
        if conversation is not None:
            if conversation.leg is not None:
                self._child.cancel(conversation.leg, reason)
            for id_ in conversation.open:
                params = {"requestId": jsonrpc.decode(id_), "reason": reason}
                body = jsonrpc.notification("notifications/cancelled", params)
                conversation.owner.deliver(jsonrpc.parse(body), conversation)
            conversation.open.clear()
        return conversation

    # towards the child

    def _send(self, conversation: Conversation) -> None:
        message = envelope.wrap(conversation.message, self._envelope)
        added: Members = {}
        if conversation.rounds and conversation.answers:
            added["inputResponses"] = Raw(jsonrpc.dump(conversation.answers))
        if conversation.state is not None:
            added["requestState"] = conversation.state
        if added:
            message = message.with_params({**message.params, **added})
        leg = conversation.leg = self._child.call(message, self)
        leg.context = conversation
        leg.future.add_done_callback(lambda _: self._answered(conversation, leg))

    def _again(self, conversation: Conversation) -> None:
        if conversation.id not in self._conversations:
            return
        try:
            self._send(conversation)
        except ChildError as problem:
            self._fail(conversation, str(problem), None)

    def _answered(self, conversation: Conversation, leg: Call) -> None:
        if conversation.leg is not leg or conversation.id not in self._conversations:
            return
        conversation.leg = None
        try:
            response = leg.future.result()
        except (ChildError, CallCancelled) as problem:
            self._drop(conversation, str(problem))
            if not conversation.future.done():
                conversation.future.set_exception(problem)
                conversation.future.exception()
            return
        assert response is not None
        if response.result is not None:
            members = jsonrpc.object_members(response.result)
            if members.get("resultType") == Raw(b'"input_required"'):
                self._ask(conversation, members)
                return
            changed = result_to_handshake(response.result, conversation.message.method)
            response = jsonrpc.parse(jsonrpc.dump({**response.members, "result": changed}))
        del self._conversations[conversation.id]
        _settle(conversation, response)

    def _ask(self, conversation: Conversation, result: Members) -> None:
        conversation.rounds += 1
        conversation.answers = {}
        conversation.state = result.get("requestState")
        if conversation.rounds > _MOST_ROUNDS:
            self._fail(conversation, f"the server asked more than {_MOST_ROUNDS} times", None)
            return
        asked = jsonrpc.object_members(result.get("inputRequests"))
        for key, raw in asked.items():
            members = jsonrpc.object_members(raw)
            id_ = jsonrpc.encode(f"input-{next(self._questions)}")
            body = jsonrpc.dump({"jsonrpc": b'"2.0"', "id": id_, **members})
            question = jsonrpc.parse(body)
            conversation.open[id_] = (key, question.method)
            conversation.owner.deliver(question, conversation)
        if not asked:
            loop = asyncio.get_running_loop()
            loop.call_later(_BETWEEN_ROUNDS, self._again, conversation)

    def _fail(self, conversation: Conversation, reason: str, error: Raw | None) -> None:
        said = jsonrpc.object_members(error).get("message")
        text = reason if said is None else f"{reason}: {jsonrpc.decode(said)}"
        self._drop(conversation, reason)
        _settle(conversation, _error(conversation, jsonrpc.INTERNAL_ERROR, text))

    # subscriptions

    def _relisten(self) -> None:
        """Listen for what the server offers to tell; a new listener takes over from an old one."""
        can = self._child.introduction
        wanted: dict[str, object] = {
            f"{name}ListChanged": True for name in capabilities(can) if offers(can, name, "listChanged")
        }
        if self._uris:
            wanted["resourceSubscriptions"] = self._uris
        before, self._listening = self._listening, None
        if wanted:
            body = jsonrpc.request(0, "subscriptions/listen", {"notifications": wanted})
            message = envelope.wrap(jsonrpc.parse(body), self._envelope)
            self._listening = self._child.call(message, self, aside=True)
        if before is not None:
            self._child.cancel(before, "replaced by a newer subscription")

    # Owner, of what is sent to the child

    def deliver(self, message: Message, call: Call | None) -> None:
        conversation = None if call is None else call.context
        if message.kind is Kind.REQUEST:
            reason = "a server of 2026-07-28 asks by its results"
            refusal = jsonrpc.error(message.id, jsonrpc.METHOD_NOT_FOUND, reason)
            self._child.answer(jsonrpc.parse(refusal), self)
        elif isinstance(conversation, Conversation):
            owners = {id(other.owner) for other in self._conversations.values()}
            if message.method == "notifications/progress" or len(owners) == 1:
                conversation.owner.deliver(message, conversation)
        elif call is not None and call is self._listening:
            untagged = envelope.tag(message, envelope.SUBSCRIPTION_ID, None)
            if message.method not in _OF_SUBSCRIPTIONS:
                for owner in list(self._child.owners):
                    if owner.wants(untagged):
                        owner.deliver(untagged, None)

    def wants(self, message: Message) -> bool:
        return False


async def interpret(child: Child, client_info: Raw, client_capabilities: Raw, version: str) -> Raw | None:
    """Try 2026-07-28 with a child that refused `initialize`; the result of `initialize`, if it does.

    Raises ChildError.
    """
    introducer = Introducer(child)
    probe = ask(child, introducer, jsonrpc.decode(client_capabilities))
    try:
        async with asyncio.timeout(_PATIENCE):
            await asyncio.shield(probe.future)
    except TimeoutError:
        child.cancel(probe, "did not answer in time")
    found = discovered(probe)
    if found is None:
        return None
    child.introduction = found
    child.era = "modern"
    child.dialect = Interpreter(child, client_info, client_capabilities)
    return Raw(initialize_from_discover(found, version))


async def open_for_sessions(child: Child) -> None:
    """Make a joint child ready for sessions of the handshake era. Raises ChildError."""
    try:
        await open_handshake(child)
    except ChildError:
        if not child.alive:
            raise
        info, able = Raw(jsonrpc.encode(CLIENT_INFO)), Raw(jsonrpc.encode(ALL_CAPABILITIES))
        introduction = await interpret(child, info, able, LATEST_HANDSHAKE_VERSION)
        if introduction is None:
            raise
        child.introduction = introduction


async def interpreted(child: Child, initialize: Message) -> Message | None:
    """The answer to an `initialize` that the child has refused, if it speaks 2026-07-28 instead.

    Raises ChildError.
    """
    params = initialize.params
    info = params.get("clientInfo", Raw(jsonrpc.encode(CLIENT_INFO)))
    version = jsonrpc.decode(params.get("protocolVersion", b'""'))
    asked = version if isinstance(version, str) else ""
    result = await interpret(child, info, params.get("capabilities", _EMPTY), asked)
    return None if result is None else jsonrpc.parse(jsonrpc.result(initialize.id or b"null", result))


async def introduced_ahead(child: Child, initialize: Message) -> Message | None:
    """The answer to an `initialize` whose client is not there yet; None if it is refused.

    Raises ChildError.
    """
    introducer = Introducer(child)
    child.attach(introducer)
    try:
        response = await child.call(initialize, introducer).response()
        return await interpreted(child, initialize) if response.result is None else response
    finally:
        child.detach(introducer)


def _settle(conversation: Conversation, response: Message) -> None:
    if not conversation.future.done():
        conversation.future.set_result(response)


def _error(conversation: Conversation, code: int, reason: str) -> Message:
    return jsonrpc.parse(jsonrpc.error(conversation.id, code, reason))
