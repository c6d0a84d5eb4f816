"""Calls of a server that asks wait for each other, event by event."""

from __future__ import annotations

import json
from typing import Any

import pytest
from mcp_streamablehttp_proxy._common import jsonrpc
from mcp_streamablehttp_proxy._common.channel import Owner, Turn, TurnCancelledError
from mcp_streamablehttp_proxy._common.jsonrpc import Message
from mcp_streamablehttp_proxy.server.one_at_a_time import PATIENCE, OneAtATime

from .support import Json
from .test_questions import ABLE, Asked, Clock


class Server:
    name = "stage"
    asks = True

    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self.notes: list[Message] = []
        self.owners: tuple[Owner, ...] = ()

    @property
    def open(self) -> list[Turn]:
        return [turn for turn in self.turns if not turn.settled]

    def call(self, turn: Turn) -> None:
        self.turns.append(turn)

    def cancel(self, turn: Turn, reason: str) -> None:
        turn.settle(TurnCancelledError(reason))

    def detach(self, owner: object) -> None:
        return

    def notify(self, message: Message, owner: object = None) -> None:
        self.notes.append(message)


class Stage:
    def __init__(self) -> None:
        self.server = Server()
        behind: Any = self.server
        self.clock = Clock()
        self.owner = Asked()
        self.channel = OneAtATime(behind, self.server, self.clock)

    def call(self, name: str, method: str = "tools/call", able: Json = ABLE, **options: Any) -> Turn:
        message = Message.request(method, {"name": name}, jsonrpc.encode(name))
        options.setdefault("asker", object())
        turn = Turn(message, self.owner, capabilities=able, **options)
        self.channel.call(turn)
        return turn

    @property
    def sent(self) -> list[str]:
        return [json.loads(turn.message.raw)["params"]["name"] for turn in self.server.turns]


@pytest.fixture
def stage() -> Stage:
    return Stage()


def settle(turn: Turn) -> None:
    turn.settle(turn.message.answered(b"{}"))


def test_calls_of_several_clients_run_one_after_the_other(stage: Stage) -> None:
    first, second, _ = stage.call("a"), stage.call("b"), stage.call("c")
    assert stage.sent == ["a"]
    settle(first)
    assert stage.sent == ["a", "b"]
    settle(second)
    assert stage.sent == ["a", "b", "c"]


def test_a_server_that_was_not_seen_to_ask_makes_nobody_wait(stage: Stage) -> None:
    stage.server.asks = False
    stage.call("a")
    stage.call("b")
    assert stage.sent == ["a", "b"]


def test_what_cannot_be_asked_about_does_not_wait(stage: Stage) -> None:
    stage.call("a")
    stage.call("list", "tools/list")
    stage.call("unable", able={})
    assert stage.sent == ["a", "list", "unable"]


def test_calls_of_one_session_do_not_wait_for_each_other(stage: Stage) -> None:
    session = object()
    stage.call("a", asker=session)
    stage.call("b", asker=session)
    assert stage.sent == ["a", "b"]


def test_after_thirty_seconds_the_error_names_the_other_and_says_that_nothing_happened(stage: Stage) -> None:
    stage.call("delete")
    late = stage.call("b")
    stage.clock.advance(PATIENCE)
    reason = json.loads(late.response().raw)["error"]["message"]
    assert reason.startswith("not executed:")
    assert "tools/call delete is under way" in reason
    assert stage.sent == ["delete"]


def test_who_waits_may_cancel_or_go(stage: Stage) -> None:
    first, second, third = stage.call("a"), stage.call("b"), stage.call("c")
    note = Message.notification("notifications/cancelled", {"requestId": "b"})
    stage.channel.notify(note, stage.owner)
    assert isinstance(second.outcome, TurnCancelledError)
    stage.channel.detach(stage.owner)
    assert isinstance(third.outcome, TurnCancelledError)
    settle(first)
    assert (stage.sent, stage.server.notes) == (["a"], [])
