"""Sessions before a server that only knows 2026-07-28: an event in, messages out."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import Raw

from common import jsonrpc
from common.channel import ChannelError, Turn, TurnCancelledError
from common.handshake_to_modern import HandshakeToModern
from common.jsonrpc import Message

from .playbook import PREFIX, Client, Clock, Server, error, read, result

DISCOVERED = {
    "supportedVersions": ["2026-07-28"],
    "capabilities": {"tools": {"listChanged": True}, "resources": {"subscribe": True}},
}


class Stage:
    def __init__(self) -> None:
        self.clock = Clock()
        self.server = Server()
        self.session = Client("session")
        info = Raw(b'{"name":"host","version":"2"}')
        discovered = Raw(jsonrpc.encode(DISCOVERED))
        self.channel = HandshakeToModern(self.server, discovered, info, self.clock)
        self.channel.attach(self.session)

    def send(self, method: str, /, session: Client | None = None, **params: Any) -> Turn:
        owner = session or self.session
        able = {"elicitation": {}, "vendor": 1}
        turn = owner.turn(Message.request(method, params, b"7"), capabilities=able)
        self.channel.call(turn)
        return turn

    def needs(self, state: str, **requests: Any) -> None:
        self.server.results(
            self.server.newest, resultType="input_required", inputRequests=requests, requestState=state
        )

    def answers(self, number: int, session: Client | None = None, /, **body: Any) -> bool:
        """The answer to the session's question of this number."""
        owner = session or self.session
        id_ = self.session.heard[number]["id"]
        message = jsonrpc.parse(jsonrpc.encode({"jsonrpc": "2.0", "id": id_, **body}))
        return self.channel.answer(message, owner)


@pytest.fixture
def stage() -> Stage:
    return Stage()


WHO = {"method": "elicitation/create", "params": {"message": "Who?"}}
ASK = {"method": "sampling/createMessage", "params": {}}
ADA = {"action": "accept", "content": {"name": "Ada"}}


def test_a_request_gets_its_envelope_and_keeps_the_rest(stage: Stage) -> None:
    stage.send("tools/call", name="x", arguments={}, _meta={"progressToken": 1})
    assert stage.server.saw()["params"] == {
        "name": "x",
        "arguments": {},
        "_meta": {
            "progressToken": 1,
            f"{PREFIX}protocolVersion": "2026-07-28",
            f"{PREFIX}clientInfo": {"name": "host", "version": "2"},
            f"{PREFIX}clientCapabilities": {"elicitation": {}, "vendor": 1},
        },
    }


def test_a_result_loses_what_only_the_modern_era_says(stage: Stage) -> None:
    turn = stage.send("tools/list")
    stage.server.results(
        stage.server.newest, resultType="complete", tools=[], ttlMs=5, cacheScope="public", odd=1
    )
    assert result(turn) == {"tools": [], "odd": 1}


def test_an_answer_may_come_while_the_server_is_called(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A combination refuses an unknown tool at once, and so do chosen tools."""
    monkeypatch.setattr(stage.server, "call", lambda inner: stage.server.fails(inner, -32602, "Unknown tool"))
    turn = stage.send("tools/call", name="x")
    assert error(turn) == {"code": -32602, "message": "Unknown tool"}
    assert not list(stage.channel.open)


def test_a_server_that_cannot_be_called_leaves_nothing_open(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def call(inner: Turn) -> None:
        raise ChannelError("gone")

    monkeypatch.setattr(stage.server, "call", call)
    with pytest.raises(ChannelError, match="gone"):
        stage.send("tools/call", name="x")
    assert not list(stage.channel.open)


@pytest.mark.parametrize("method", ["ping", "logging/setLevel", "resources/subscribe"])
def test_what_the_server_does_not_know_is_answered_for_it(stage: Stage, method: str) -> None:
    assert result(stage.send(method, level="debug", uri="a://1")) == {}


def test_each_session_has_its_own_log_level(stage: Stage) -> None:
    other = Client("other")
    stage.channel.attach(other)
    stage.send("logging/setLevel", level="debug")
    stage.send("tools/list")
    assert stage.server.saw()["params"]["_meta"][f"{PREFIX}logLevel"] == "debug"
    stage.send("tools/list", session=other)
    assert f"{PREFIX}logLevel" not in stage.server.saw()["params"]["_meta"]


def test_input_required_becomes_requests_and_the_answers_a_retry(stage: Stage) -> None:
    turn = stage.send("tools/call", name="x")
    stage.needs("s1", who=WHO, what=ASK)
    assert [one["method"] for one in stage.session.heard] == ["elicitation/create", "sampling/createMessage"]
    before = len(stage.server.turns)
    assert stage.answers(0, result=ADA)
    assert len(stage.server.turns) == before, "one answer is missing"
    assert stage.answers(1, result={"role": "assistant"})
    params = stage.server.saw()["params"]
    assert (params["inputResponses"], params["requestState"]) == (
        {"who": ADA, "what": {"role": "assistant"}},
        "s1",
    )
    stage.server.results(stage.server.newest, content=[])
    assert result(turn) == {"content": []}


def test_a_question_is_answered_by_its_own_session_once(stage: Stage) -> None:
    stage.send("tools/call", name="x")
    stage.needs("s", who=WHO)
    assert not stage.answers(0, Client("eve"), result=ADA)
    assert stage.answers(0, result=ADA)
    assert not stage.answers(0, result=ADA)


def test_a_refused_elicitation_counts_as_cancelled_a_refused_sampling_fails(stage: Stage) -> None:
    turn = stage.send("tools/call", name="x")
    stage.needs("s", who=WHO)
    stage.answers(0, error={"code": -1, "message": "no"})
    assert stage.server.saw()["params"]["inputResponses"] == {"who": {"action": "cancel"}}
    stage.needs("t", what=ASK, who=WHO)
    stage.answers(1, error={"code": -1, "message": "no, thanks"})
    assert error(turn)["message"] == "the client did not answer sampling/createMessage: no, thanks"
    assert stage.session.heard[-1]["method"] == "notifications/cancelled"


def test_a_server_that_asks_nothing_is_asked_again_after_a_moment_but_not_for_ever(stage: Stage) -> None:
    turn = stage.send("tools/call", name="x")
    for _ in range(64):
        stage.needs("s")
        assert not turn.settled
        stage.clock.advance(0.1)
    stage.needs("s")
    assert "more than 64 times" in error(turn)["message"]


def test_changes_are_listened_for_and_a_newer_listener_takes_over(stage: Stage) -> None:
    first = stage.server.turns[0]
    assert stage.server.saw(first)["params"]["notifications"] == {"toolsListChanged": True}
    stage.send("resources/subscribe", uri="a://1")
    second = stage.server.newest
    assert stage.server.saw()["params"]["notifications"]["resourceSubscriptions"] == ["a://1"]
    assert isinstance(first.outcome, TurnCancelledError)
    meta = {f"{PREFIX}subscriptionId": 1}
    stage.server.says(second, "notifications/subscriptions/acknowledged", _meta=meta)
    stage.server.says(second, "notifications/resources/updated", uri="a://1", _meta=meta)
    assert [one["params"] for one in stage.session.heard] == [{"uri": "a://1"}]


def test_a_cancelled_request_is_cancelled_at_the_server_and_its_questions_withdrawn(stage: Stage) -> None:
    turn = stage.send("tools/call", name="x")
    note = Message.notification("notifications/cancelled", {"requestId": 7})
    stage.channel.notify(note, Client("eve"))
    assert not turn.settled
    stage.channel.notify(note, stage.session)
    assert isinstance(turn.outcome, TurnCancelledError)
    assert isinstance(stage.server.newest.outcome, TurnCancelledError)


def test_a_server_that_dies_ends_also_calls_that_wait_for_their_session(stage: Stage) -> None:
    turn = stage.send("tools/call", name="x")
    stage.needs("s", who=WHO)
    stage.channel.lost("server stage exited")
    assert isinstance(turn.outcome, ChannelError)
    assert stage.session.ended == "server stage exited"


def test_a_modern_server_cannot_send_requests(stage: Stage) -> None:
    stage.send("tools/call", name="x")
    stage.server.asks(stage.server.newest, 1, "roots/list")
    assert stage.server.answers[0]["error"]["code"] == -32601
    assert [read(turn.message)["method"] for turn in stage.server.turns] == [
        "subscriptions/listen",
        "tools/call",
    ]
