"""Modern clients before a server that only knows the handshake: an event in, messages out."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import Raw

from common import jsonrpc
from common.channel import ChannelError, Turn, TurnCancelledError, UnavailableError
from common.modern_to_handshake import ModernToHandshake, OpenCall
from common.parked_calls import ParkedCalls

from .playbook import PREFIX, Client, Clock, Server, error, modern, result

INITIALIZED = {
    "protocolVersion": "2025-11-25",
    "capabilities": {
        "tools": {"listChanged": True},
        "resources": {"subscribe": True, "listChanged": True},
        "logging": {},
    },
    "serverInfo": {"name": "old", "version": "1"},
}
ABLE: dict[str, Any] = {"elicitation": {}, "sampling": {}, "roots": {}}
ADA = {"action": "accept", "content": {"name": "Ada"}}


class Stage:
    def __init__(self, **limits: Any) -> None:
        self.clock = Clock()
        self.server = Server()
        self.client = Client()
        self.parked: ParkedCalls[OpenCall] = ParkedCalls(timers=self.clock, **limits)
        introduction = Raw(jsonrpc.encode(INITIALIZED))
        self.channel = ModernToHandshake(self.server, introduction, self.parked, self.clock)

    def call(self, name: str = "tool", able: dict[str, Any] | None = None, /, **params: Any) -> Turn:
        """A tools/call; `user` makes it."""
        user = params.pop("user", "ada")
        able = ABLE if able is None else able
        message = modern("tools/call", able, name=name, **params)
        turn = self.client.turn(message, principal=user, capabilities=able)
        self.channel.call(turn)
        return turn

    def send(self, method: str, /, **params: Any) -> Turn:
        turn = self.client.turn(modern(method, **params), principal="ada")
        self.channel.call(turn)
        return turn

    def retry(self, first: Turn, /, **answers: Any) -> Turn:
        return self.call(inputResponses=answers, requestState=result(first)["requestState"])

    def gathered(self) -> None:
        self.clock.advance(0.05)


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_the_envelope_stays_behind_and_the_rest_arrives(stage: Stage) -> None:
    stage.call(meta={"vendor/x": [1]}, arguments={"n": 1})
    assert stage.server.saw()["params"] == {
        "name": "tool",
        "arguments": {"n": 1},
        "_meta": {"vendor/x": [1]},
    }


def test_a_result_says_that_it_is_complete_and_whose(stage: Stage) -> None:
    turn = stage.call()
    stage.server.results(stage.server.newest, content=[])
    assert result(turn) == {
        "resultType": "complete",
        "content": [],
        "_meta": {f"{PREFIX}serverInfo": {"name": "old", "version": "1"}},
    }


def test_discovery_needs_no_server(stage: Stage) -> None:
    turn = stage.send("server/discover")
    assert result(turn)["supportedVersions"] == ["2026-07-28"]
    assert stage.server.turns == []


@pytest.mark.parametrize("method", ["initialize", "ping", "logging/setLevel", "resources/subscribe"])
def test_what_the_modern_era_dropped_is_not_found(stage: Stage, method: str) -> None:
    assert error(stage.send(method))["code"] == -32601
    assert stage.server.turns == []


def test_an_incomplete_envelope_is_refused_and_nothing_sent(stage: Stage) -> None:
    turn = stage.client.turn(jsonrpc.Message.request("tools/list", {}))
    stage.channel.call(turn)
    assert error(turn)["code"] == -32602
    assert stage.server.turns == []


# questions


def test_a_question_parks_the_call_and_its_answer_goes_on_with_it(stage: Stage) -> None:
    first = stage.call()
    inner = stage.server.newest
    stage.server.asks(inner, "user_name", "elicitation/create", message="Who?")
    assert not first.settled, "more may be asked together"
    stage.gathered()
    asked = result(first)
    assert asked["resultType"] == "input_required"
    assert asked["inputRequests"] == {
        "user_name": {"method": "elicitation/create", "params": {"message": "Who?"}}
    }
    second = stage.retry(first, user_name=ADA)
    assert stage.server.answers == [{"jsonrpc": "2.0", "id": "user_name", "result": ADA}]
    assert stage.server.turns == [inner], "the call at the server is one and the same"
    stage.server.results(inner, content=[])
    assert result(second)["resultType"] == "complete"


def test_questions_of_one_moment_are_put_together_and_missing_answers_asked_again(stage: Stage) -> None:
    first = stage.call()
    for id_, method in ((5, "roots/list"), (6, "sampling/createMessage")):
        stage.server.asks(stage.server.newest, id_, method)
    stage.gathered()
    assert list(result(first)["inputRequests"]) == ["roots-1", "sampling-1"]
    second = stage.retry(first, **{"roots-1": {"roots": []}})
    stage.gathered()
    assert list(result(second)["inputRequests"]) == ["sampling-1"]


def test_an_answer_given_in_advance_is_used_at_once(stage: Stage) -> None:
    stage.call(inputResponses={"user_name": ADA})
    stage.server.asks(stage.server.newest, "user_name", "elicitation/create")
    assert stage.server.answers[0]["result"] == ADA


def test_what_the_client_did_not_declare_is_refused_and_the_failure_that_says_so_is_32021(
    stage: Stage,
) -> None:
    turn = stage.call("tool", {"roots": {}})
    stage.server.asks(stage.server.newest, 1, "sampling/createMessage")
    refusal = stage.server.answers[0]["error"]["message"]
    assert refusal == "the client did not declare the capability sampling"
    failed = [{"type": "text", "text": f"Error: {refusal}"}]
    stage.server.results(stage.server.newest, isError=True, content=failed)
    assert (error(turn)["code"], error(turn)["data"]) == (
        -32021,
        {"requiredCapabilities": {"sampling": {}}},
    )


def test_a_failure_for_another_reason_stays_the_servers_own_result(stage: Stage) -> None:
    """playwright asks for roots, does without, and then cannot reach the page."""
    turn = stage.call("tool", {"sampling": {}})
    stage.server.asks(stage.server.newest, 1, "roots/list")
    failed = [{"type": "text", "text": "net::ERR_CONNECTION_REFUSED"}]
    stage.server.results(stage.server.newest, isError=True, content=failed)
    assert result(turn)["isError"] is True
    assert result(turn)["content"] == failed


def test_a_list_cannot_ask(stage: Stage) -> None:
    stage.send("tools/list")
    stage.server.asks(stage.server.newest, 1, "roots/list")
    assert "no client can be asked" in stage.server.answers[0]["error"]["message"]


def test_a_question_about_no_call_is_refused_and_a_ping_answered(stage: Stage) -> None:
    stage.server.asks(None, 1, "elicitation/create")
    stage.server.asks(None, 2, "ping")
    assert ["error" in one for one in stage.server.answers] == [True, False]


def test_a_withdrawn_question_is_not_put(stage: Stage) -> None:
    first = stage.call()
    inner = stage.server.newest
    stage.server.asks(inner, "a", "elicitation/create")
    stage.server.asks(inner, "b", "elicitation/create")
    stage.server.says(inner, "notifications/cancelled", requestId="a")
    stage.gathered()
    assert list(result(first)["inputRequests"]) == ["b"]


def test_the_answer_of_a_server_that_did_not_wait_is_the_retrys(stage: Stage) -> None:
    first = stage.call()
    inner = stage.server.newest
    stage.server.asks(inner, "a", "elicitation/create")
    stage.gathered()
    stage.server.fails(inner, -32603, "asked again elsewhere")
    assert error(stage.retry(first, a=ADA))["message"] == "asked again elsewhere"


def test_a_state_is_used_once_by_its_own_user(stage: Stage) -> None:
    first = stage.call()
    stage.server.asks(stage.server.newest, "a", "elicitation/create")
    stage.gathered()
    state = result(first)["requestState"]
    for wrong in (
        {"user": "eve", "requestState": state},
        {"requestState": state + "x"},
        {"arguments": {"other": 1}, "requestState": state},
    ):
        assert error(stage.call(inputResponses={"a": ADA}, **wrong))["code"] == -32602
    assert not stage.retry(first, a=ADA).settled
    assert error(stage.retry(first, a=ADA))["code"] == -32602


def test_a_client_that_does_not_come_back_ends_its_call(stage: Stage) -> None:
    stage.call()
    inner = stage.server.newest
    stage.server.asks(inner, "a", "elicitation/create")
    stage.gathered()
    stage.clock.advance(600)
    assert "did not answer in time" in stage.server.answers[0]["error"]["message"]
    assert isinstance(inner.outcome, TurnCancelledError)
    assert not tuple(stage.channel.open)


def test_only_so_many_calls_wait() -> None:
    stage = Stage(limit=0)
    turn = stage.call()
    stage.server.asks(stage.server.newest, "a", "elicitation/create")
    stage.gathered()
    assert isinstance(turn.outcome, UnavailableError)
    assert isinstance(stage.server.newest.outcome, TurnCancelledError)


def test_one_user_cannot_take_all_the_places_of_parked_calls() -> None:
    stage = Stage(limit=16)
    for user in ("ada", "ada", "ada", "eve"):
        turn = stage.call(user=user)
        stage.server.asks(stage.server.newest, "a", "elicitation/create")
        stage.gathered()
        if turn.outcome is not None and isinstance(turn.outcome, UnavailableError):
            assert user == "ada"
    assert len(stage.parked) == 3


def test_a_url_to_visit_becomes_a_question_and_the_retry_a_new_call(stage: Stage) -> None:
    first = stage.call("tool", {"elicitation": {"url": {}}})
    one = {"mode": "url", "elicitationId": "1", "url": "https://example.com/", "message": "Sign in"}
    stage.server.fails(stage.server.newest, -32042, "URL elicitation required", {"elicitations": [one]})
    (request,) = result(first)["inputRequests"].values()
    assert request["params"] == {"mode": "url", "url": "https://example.com/", "message": "Sign in"}
    stage.retry(first, **{"elicitation-1": {"action": "accept"}})
    assert len(stage.server.turns) == 2


# what else a server says


def test_progress_comes_under_the_token_of_the_request_that_waits_now(stage: Stage) -> None:
    first = stage.call(meta={"progressToken": "one"})
    inner = stage.server.newest
    stage.server.says(inner, "notifications/progress", progressToken="one", progress=1)
    stage.server.asks(inner, "a", "elicitation/create")
    stage.gathered()
    stage.server.says(inner, "notifications/progress", progressToken="one", progress=2)
    stage.call(
        meta={"progressToken": "two"},
        inputResponses={"a": ADA},
        requestState=result(first)["requestState"],
    )
    stage.server.says(inner, "notifications/progress", progressToken="one", progress=3)
    tokens = [(one["params"]["progressToken"], one["params"]["progress"]) for one in stage.client.heard]
    assert tokens == [("one", 1), ("two", 3)], "while nobody waits nobody is told"


def test_a_log_level_is_set_first_and_holds_for_one_request(stage: Stage) -> None:
    stage.call(meta={f"{PREFIX}logLevel": "info"})
    (setting,) = stage.server.turns
    assert stage.server.saw()["params"] == {"level": "info"}
    stage.server.results(setting)
    inner = stage.server.newest
    assert stage.server.saw()["method"] == "tools/call"
    for level in ("debug", "error"):
        stage.server.says(inner, "notifications/message", level=level, data=level)
    assert [one["params"]["data"] for one in stage.client.heard] == ["error"]
    stage.call()
    assert stage.server.saw()["method"] == "tools/call", "the level is verbose enough already"
    stage.server.says(stage.server.newest, "notifications/message", level="error", data="unasked")
    assert len(stage.client.heard) == 1


def test_a_log_line_about_no_call_is_nobodys(stage: Stage) -> None:
    stage.call(meta={f"{PREFIX}logLevel": "debug"})
    stage.server.says(None, "notifications/message", level="error", data="x")
    assert stage.client.heard == []


# ends


def test_a_cancelled_request_is_cancelled_at_the_server_and_its_questions_refused(stage: Stage) -> None:
    turn = stage.call()
    inner = stage.server.newest
    stage.server.asks(inner, "a", "elicitation/create")
    stage.channel.cancel(turn, "the client has gone")
    assert isinstance(inner.outcome, TurnCancelledError)
    assert stage.server.answers[0]["error"]["message"] == "the client has gone"
    stage.clock.advance(1000)
    assert not tuple(stage.channel.open)


def test_a_server_that_dies_fails_its_calls_and_the_retries_of_parked_ones(stage: Stage) -> None:
    parked = stage.call()
    waiting = stage.server.newest
    stage.server.asks(waiting, "a", "elicitation/create")
    stage.gathered()
    running = stage.call()
    for inner in (waiting, stage.server.newest):
        inner.settle(ChannelError("server stage exited with status 3"))
    assert isinstance(running.outcome, ChannelError)
    assert isinstance(stage.retry(parked, a=ADA).outcome, ChannelError)


# subscriptions


def listen(stage: Stage, **wanted: Any) -> Turn:
    return stage.send("subscriptions/listen", notifications=wanted)


def test_the_acknowledgement_comes_first_and_names_what_the_server_agreed_to(stage: Stage) -> None:
    listen(stage, toolsListChanged=True, promptsListChanged=True, resourceSubscriptions=["a://1", "a://2"])
    one, two = stage.server.turns
    stage.server.says(None, "notifications/tools/list_changed")
    stage.server.results(one)
    assert stage.client.heard == []
    stage.server.fails(two, -32002, "no such resource")
    first, second = stage.client.heard
    assert first["params"] == {
        "notifications": {"toolsListChanged": True, "resourceSubscriptions": ["a://1"]},
        "_meta": {f"{PREFIX}subscriptionId": "r1"},
    }
    assert second["method"] == "notifications/tools/list_changed"


def test_a_server_that_does_not_answer_a_subscription_holds_nobody_up(stage: Stage) -> None:
    listen(stage, resourceSubscriptions=["a://1"])
    stage.clock.advance(30)
    assert stage.client.heard[0]["params"]["notifications"] == {}


def test_one_subscription_at_the_server_serves_all_and_the_last_one_ends_it(stage: Stage) -> None:
    one = listen(stage, resourceSubscriptions=["a://1"])
    other = listen(stage, resourceSubscriptions=["a://1"])
    (asked,) = stage.server.turns
    stage.server.results(asked)
    stage.server.says(None, "notifications/resources/updated", uri="a://1")
    assert [one["method"].rpartition("/")[2] for one in stage.client.heard] == ["acknowledged"] * 2 + [
        "updated"
    ] * 2
    stage.channel.cancel(one, "gone")
    assert len(stage.server.turns) == 1
    stage.channel.cancel(other, "gone")
    assert stage.server.saw()["method"] == "resources/unsubscribe"


@pytest.mark.parametrize("wanted", [None, [], "x", {"resourceSubscriptions": [1]}])
def test_a_filter_that_is_none_is_invalid(stage: Stage, wanted: Any) -> None:
    assert error(stage.send("subscriptions/listen", notifications=wanted))["code"] == -32602


def test_a_lost_server_ends_subscriptions_without_a_result(stage: Stage) -> None:
    turn = listen(stage, toolsListChanged=True)
    stage.channel.lost("server stage exited")
    assert isinstance(turn.outcome, ChannelError)
