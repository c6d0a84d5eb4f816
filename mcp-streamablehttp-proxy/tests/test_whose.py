"""Guarantee 15 as a property: whatever clients and server do, what is about one call never reaches another.

A server process that exists in this test only, everybody on it at once, the real channels in between.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import hypothesis.strategies as st
from hypothesis import settings as hypothesis_settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from mcp_streamablehttp_proxy._common.channel import Turn
from mcp_streamablehttp_proxy._common.jsonrpc import Message
from mcp_streamablehttp_proxy._common.modern_to_handshake import ModernToHandshake, OpenCall
from mcp_streamablehttp_proxy._common.parked_calls import ParkedCalls
from mcp_streamablehttp_proxy.server.child import Child
from mcp_streamablehttp_proxy.server.one_at_a_time import OneAtATime
from mcp_streamablehttp_proxy.server.openers import Openers
from mcp_streamablehttp_proxy.server.questions import PATIENCE
from mcp_streamablehttp_proxy.server.routing import Routing
from mcp_streamablehttp_proxy.settings import Server
from msgspec import Raw

from .support import Json

PREFIX = "io.modelcontextprotocol/"
ABLE: Json = {"elicitation": {"form": {}}}
INTRODUCTION = Raw(b'{"protocolVersion":"2025-11-25","capabilities":{"logging":{}},"serverInfo":{}}')


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[_Timer] = []

    def call_later(self, delay: float, callback: Callable[..., object], /, *args: object) -> _Timer:
        timer = _Timer(self.now + delay, callback, args)
        self.timers.append(timer)
        return timer

    def advance(self, seconds: float) -> None:
        until = self.now + seconds
        while due := [timer for timer in self.timers if timer.due <= until and not timer.over]:
            first = min(due, key=lambda timer: timer.due)
            self.now, first.over = max(self.now, first.due), True
            first.callback(*first.args)
        self.now = until
        self.timers = [timer for timer in self.timers if not timer.over]


@dataclass
class _Timer:
    due: float
    callback: Callable[..., object]
    args: tuple[object, ...]
    over: bool = False

    def cancel(self) -> None:
        self.over = True


@dataclass
class Call:
    """What the server knows of one call."""

    id: str | int
    tag: str
    token: str | int | None
    asked: set[str] = field(default_factory=set)
    """Its questions that have no answer."""
    cancelled: float | None = None


@dataclass
class Client:
    """One modern request after another for the same thing, and all it was told."""

    tag: str
    able: bool
    turn: Turn | None = None
    state: str | None = None
    keys: tuple[str, ...] = ()
    heard: list[str] = field(default_factory=list)

    label = "client"

    def deliver(self, message: Message, turn: Turn | None) -> None:
        assert turn is self.turn
        self.heard.append(tag_in(json.loads(message.raw)))

    def wants(self, message: Message) -> bool:
        return False

    def lost(self, reason: str) -> None:
        return


def tag_in(message: Json) -> str:
    params = message["params"]
    return str(params.get("data", params.get("message")))


class Whose(RuleBasedStateMachine):
    @initialize(asks=st.booleans())
    def start(self, asks: bool) -> None:
        self.clock = Clock()
        self.written: list[bytes] = []
        self.child = Child(Server(name="stage", command=("stage",)), "stage", shared=True)
        process: Any = self.child._link
        process.pid = 1
        process.write = lambda line, at_once=False: self.hear(json.loads(line))
        routing = Routing(process.write, shared=True, timers=self.clock)
        self.child._routing, self.child._turns = routing, routing.turns
        parked: ParkedCalls[OpenCall] = ParkedCalls(timers=self.clock)
        openers = Openers(parked)
        openers.asks = asks
        self.child.on_question = openers._heard
        one_by_one = OneAtATime(self.child, openers, self.clock)
        self.channel = ModernToHandshake(one_by_one, INTRODUCTION, parked, self.clock)
        self.calls: list[Call] = []
        self.clients: list[Client] = []
        self.numbers = 0
        self.answered: list[tuple[str, Json]] = []
        self.questions: dict[str, str] = {}

    # the server's side

    def hear(self, message: Json) -> None:
        method, id_ = message.get("method"), message.get("id")
        if method == "logging/setLevel":
            self.say({"id": id_, "result": {}})
        elif method == "tools/call":
            params = message["params"]
            self.calls.append(
                Call(message["id"], params["name"], params.get("_meta", {}).get("progressToken"))
            )
        elif method == "notifications/cancelled":
            for call in self.calls:
                if call.id == message["params"]["requestId"]:
                    call.cancelled = self.clock.now
        elif method is None:
            tag = self.questions.pop(str(id_))
            for call in self.calls:
                call.asked.discard(id_)
            self.answered.append((tag, message))

    def say(self, message: Json) -> None:
        self.child._line(json.dumps({"jsonrpc": "2.0", **message}).encode())

    def working(self, draw: int) -> Call | None:
        """A call that the server is at; it stops within the patience after a cancellation."""
        now = self.clock.now
        at = [c for c in self.calls if c.cancelled is None or now < c.cancelled + PATIENCE]
        return at[draw % len(at)] if at else None

    @rule(draw=st.integers(0, 99))
    def ask(self, draw: int) -> None:
        if (call := self.working(draw)) is not None:
            self.numbers += 1
            id_ = f"q{self.numbers}"
            call.asked.add(id_)
            self.questions[id_] = call.tag
            params = {"message": call.tag, "requestedSchema": {}}
            self.say({"id": id_, "method": "elicitation/create", "params": params})

    @rule(draw=st.integers(0, 99))
    def log(self, draw: int) -> None:
        if (call := self.working(draw)) is not None:
            self.say({"method": "notifications/message", "params": {"level": "info", "data": call.tag}})

    @rule(draw=st.integers(0, 99))
    def progress(self, draw: int) -> None:
        if (call := self.working(draw)) is not None and call.token is not None:
            params = {"progressToken": call.token, "progress": 1, "message": call.tag}
            self.say({"method": "notifications/progress", "params": params})

    @rule(draw=st.integers(0, 99), late=st.booleans())
    def answer(self, draw: int, late: bool) -> None:
        call = self.working(draw)
        if call is not None and not call.asked and (late or call.cancelled is None):
            self.calls.remove(call)
            self.say({"id": call.id, "result": {"content": [], "tag": call.tag}})

    # the clients' side

    @rule(able=st.booleans(), token=st.booleans())
    def open(self, able: bool, token: bool) -> None:
        self.numbers += 1
        client = Client(f"call-{self.numbers}", able)
        self.clients.append(client)
        self.send(client, token=token)

    def send(self, client: Client, *, token: bool = False, **more: Any) -> None:
        meta = {
            f"{PREFIX}protocolVersion": "2026-07-28",
            f"{PREFIX}clientCapabilities": ABLE if client.able else {},
            f"{PREFIX}logLevel": "debug",
            **({"progressToken": "same"} if token else {}),
        }
        message = Message.request("tools/call", {"name": client.tag, "_meta": meta, **more})
        capabilities = ABLE if client.able else {}
        client.turn = Turn(message, client, principal="all", capabilities=capabilities)
        self.channel.call(client.turn)

    def waiting(self, draw: int, *, parked: bool) -> Client | None:
        """A client with an open request, or one that was asked."""
        found = [
            one
            for one in self.clients
            if (one.state is not None if parked else one.turn is not None and not one.turn.settled)
        ]
        return found[draw % len(found)] if found else None

    @rule(draw=st.integers(0, 99))
    def cancel(self, draw: int) -> None:
        if (client := self.waiting(draw, parked=False)) is not None and client.turn is not None:
            self.channel.cancel(client.turn, "gone")

    @rule(draw=st.integers(0, 99), all_=st.booleans())
    def reply(self, draw: int, all_: bool) -> None:
        if (client := self.waiting(draw, parked=True)) is not None:
            keys = client.keys if all_ else client.keys[:1]
            given = {key: {"action": "accept", "content": {"tag": client.tag}} for key in keys}
            state, client.state = client.state, None
            self.send(client, inputResponses=given, requestState=state)

    @rule(seconds=st.sampled_from([0.01, 0.1, 4.0, 11.0, 31.0]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    # what must hold

    @invariant()
    def everybody_hears_of_his_own_call_only(self) -> None:
        for client in self.clients:
            assert set(client.heard) <= {client.tag}
            turn = client.turn
            if turn is None or not isinstance(turn.outcome, Message):
                continue
            client.turn = None
            result = json.loads(turn.outcome.raw).get("result")
            if result is None:
                continue
            if result["resultType"] == "input_required":
                client.state, client.keys = result["requestState"], tuple(result["inputRequests"])
                assert client.able
                for asked in result["inputRequests"].values():
                    assert asked["params"]["message"] == client.tag
            else:
                assert result["tag"] == client.tag

    @invariant()
    def every_answer_is_from_the_one_whose_call_it_is_about(self) -> None:
        for tag, message in self.answered:
            if "result" in message:
                assert message["result"]["content"]["tag"] == tag
        self.answered.clear()

    @precondition(lambda self: self.calls)
    @rule()
    def the_end(self) -> None:
        """Nothing waits for ever."""
        self.clock.advance(1000)
        assert not self.questions
        for client in self.clients:
            client.state = None

    def teardown(self) -> None:
        if hasattr(self, "clock"):
            self.clock.advance(1000)
            assert not self.questions


def test_what_is_about_one_call_never_reaches_another() -> None:
    bounded = hypothesis_settings(max_examples=150, stateful_step_count=40, deadline=None)
    run_state_machine_as_test(Whose, settings=bounded)
