"""Whom a server asks, event by event: no processes, no clock but the test's own."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from mcp_streamablehttp_proxy._common import jsonrpc
from mcp_streamablehttp_proxy._common.channel import Turn, TurnCancelledError
from mcp_streamablehttp_proxy._common.jsonrpc import Message
from mcp_streamablehttp_proxy.server.questions import PATIENCE
from mcp_streamablehttp_proxy.server.routing import Routing

from .support import Json

ABLE: Json = {"elicitation": {}}


@dataclass(eq=False)
class Timer:
    due: float
    callback: Callable[..., object]
    args: tuple[object, ...]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[Timer] = []

    def call_later(self, delay: float, callback: Callable[..., object], /, *args: object) -> _Cancel:
        self.timers.append(Timer(self.now + delay, callback, args))
        return _Cancel(self.timers, self.timers[-1])

    def advance(self, seconds: float) -> None:
        self.now += seconds
        while due := [timer for timer in self.timers if timer.due <= self.now]:
            first = min(due, key=lambda timer: timer.due)
            self.timers.remove(first)
            first.callback(*first.args)


class _Cancel:
    def __init__(self, timers: list[Timer], timer: Timer) -> None:
        self._timers, self._timer = timers, timer

    def cancel(self) -> None:
        if self._timer in self._timers:
            self._timers.remove(self._timer)


class Asked:
    """An owner that notes what it hears, and for which turn."""

    def __init__(self, label: str = "owner") -> None:
        self.label = label
        self.heard: list[tuple[str | None, object]] = []

    def deliver(self, message: Message, turn: Turn | None) -> None:
        what = message.id.decode() if message.id else message.method
        self.heard.append((what, None if turn is None else turn.context))

    def wants(self, message: Message) -> bool:
        return True

    def lost(self, reason: str) -> None:
        return


class Stage:
    def __init__(self, *, shared: bool = True) -> None:
        self.written: list[Json] = []
        self.clock = Clock()
        self.routing = Routing(
            lambda line: self.written.append(json.loads(line)), shared=shared, timers=self.clock
        )
        self.owner = Asked()
        self._count = 0

    def open(self, name: str, owner: Asked | None = None, **options: Any) -> Turn:
        """A call; of a client of its own unless `asker` says whose."""
        self._count += 1
        asker = options.pop("asker", object())
        able = options.pop("capabilities", ABLE)
        message = Message.request("tools/call", {"name": name, **options.pop("params", {})})
        turn = Turn(message, owner or self.owner, capabilities=able, asker=asker, **options)
        turn.context, turn.id = name, b"%d" % self._count
        self.routing.send(turn)
        return turn

    def answered(self, turn: Turn) -> None:
        self.routing.end(turn, answered=True)
        turn.settle(turn.message.answered(b"{}"))

    def cancelled(self, turn: Turn) -> None:
        self.routing.end(turn, answered=False)
        turn.settle(TurnCancelledError("gone"))

    def asks(self, id_: str) -> None:
        self.routing.hear(Message.request("elicitation/create", {}, jsonrpc.encode(id_)))

    def says(self, method: str = "notifications/message", **params: Any) -> None:
        self.routing.hear(Message.notification(method, params))

    @property
    def refused(self) -> list[str]:
        return [one["id"] for one in self.written if "error" in one]


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_the_only_open_call_is_asked(stage: Stage) -> None:
    stage.open("a")
    stage.asks("q")
    assert stage.owner.heard == [('"q"', "a")]


def test_with_two_open_the_question_waits_for_the_servers_answer_to_one(stage: Stage) -> None:
    a, _ = stage.open("a"), stage.open("b")
    stage.asks("q")
    assert stage.owner.heard == []
    stage.answered(a)
    assert stage.owner.heard == [('"q"', "b")]
    stage.clock.advance(PATIENCE)
    assert stage.refused == []


def test_a_call_that_came_later_is_no_candidate(stage: Stage) -> None:
    a, _ = stage.open("a"), stage.open("b")
    stage.asks("q")
    stage.open("c")
    stage.answered(a)
    assert stage.owner.heard == [('"q"', "b")]


def test_a_question_waits_ten_seconds_at_most(stage: Stage) -> None:
    stage.open("a")
    stage.open("b")
    stage.asks("q")
    stage.clock.advance(PATIENCE - 0.1)
    assert stage.refused == []
    stage.clock.advance(0.1)
    assert stage.refused == ["q"]
    assert "cannot be told" in stage.written[0]["error"]["message"]


def test_a_candidate_that_goes_without_the_servers_answer_ends_the_wait(stage: Stage) -> None:
    a, _ = stage.open("a"), stage.open("b")
    stage.asks("q")
    stage.cancelled(a)
    assert stage.refused == ["q"]
    assert stage.owner.heard == []


def test_when_every_candidate_may_be_waiting_nobody_is_guessed(stage: Stage) -> None:
    stage.open("a")
    stage.open("b")
    stage.asks("q1")
    stage.asks("q2")
    assert stage.refused == ["q1", "q2"]


def test_a_server_may_still_be_at_a_cancelled_call(stage: Stage) -> None:
    stage.cancelled(stage.open("a"))
    stage.open("b")
    stage.asks("q1")
    stage.says(level="info", data="x")
    stage.clock.advance(PATIENCE)
    assert (stage.owner.heard, stage.refused) == ([], ["q1"]), "the question may be about either"
    stage.asks("q2")
    assert stage.owner.heard == [('"q2"', "b")]


def test_the_late_answer_to_a_cancelled_call_clears_it(stage: Stage) -> None:
    gone = stage.open("a")
    stage.cancelled(gone)
    stage.open("b")
    stage.asks("q")
    stage.routing.questions.late(gone.id)
    assert stage.owner.heard == [('"q"', "b")]


def test_a_withdrawn_question_is_forgotten(stage: Stage) -> None:
    a, _ = stage.open("a"), stage.open("b")
    stage.asks("q")
    stage.says("notifications/cancelled", requestId="q")
    stage.answered(a)
    assert (stage.owner.heard, stage.refused) == ([], [])


def test_calls_of_one_session_are_one_client(stage: Stage) -> None:
    session = Asked("session")
    stage.open("a", session, asker=session)
    stage.open("b", session, asker=session)
    stage.asks("q")
    assert session.heard == [('"q"', "b")]


def test_a_subscription_is_never_asked(stage: Stage) -> None:
    stage.open("listen", background=True)
    stage.open("a")
    stage.asks("q")
    assert stage.owner.heard == [('"q"', "a")]


def test_clients_that_can_do_nothing_are_not_waited_for(stage: Stage) -> None:
    stage.open("a", capabilities={})
    stage.open("b", capabilities={})
    stage.asks("q")
    assert stage.refused == ["q"]


def test_a_client_that_declared_nothing_may_be_the_one_all_the_same(stage: Stage) -> None:
    """Where all share one process the server was told that everybody can be asked."""
    able, unable = stage.open("able"), stage.open("unable", capabilities={})
    stage.asks("q")
    assert stage.owner.heard == []
    stage.answered(able)
    assert stage.owner.heard == [('"q"', "unable")], "whose owner refuses it"
    stage.answered(unable)


def test_an_answer_is_passed_on_once_and_from_the_one_who_was_asked(stage: Stage) -> None:
    stage.open("a")
    stage.asks("q")
    answer = jsonrpc.parse(b'{"jsonrpc":"2.0","id":"q","result":{}}')
    assert not stage.routing.answer(answer, Asked("eve"))
    assert stage.routing.answer(answer, stage.owner)
    assert not stage.routing.answer(answer, stage.owner)
    assert stage.written == [{"jsonrpc": "2.0", "id": "q", "result": {}}]


def test_a_log_line_reaches_the_only_open_call_or_nobody(stage: Stage) -> None:
    a, b = stage.open("a"), stage.open("b")
    stage.says(data="x")
    stage.answered(a)
    stage.says(data="y")
    stage.answered(b)
    stage.says(data="z")
    assert stage.owner.heard == [("notifications/message", "b")]


def test_progress_finds_its_call_by_a_token_of_its_own(stage: Stage) -> None:
    one, other = Asked(), Asked()
    meta = {"_meta": {"progressToken": "same"}}
    stage.open("a", one, params=meta)
    stage.open("b", other, params=meta)
    stage.says("notifications/progress", progressToken=2, progress=1)
    stage.says("notifications/progress", progressToken="same", progress=1)
    assert (one.heard, other.heard) == ([], [("notifications/progress", "b")])


def test_a_session_alone_hears_everything() -> None:
    stage = Stage(shared=False)
    session = Asked()
    stage.routing.owners.append(session)
    stage.says(data="x")
    stage.asks("q1")
    stage.open("a", session, asker=session)
    stage.open("b", session, asker=session)
    stage.asks("q2")
    assert session.heard == [("notifications/message", None), ('"q1"', None), ('"q2"', "b")]
