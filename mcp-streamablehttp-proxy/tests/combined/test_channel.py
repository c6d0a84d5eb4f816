"""Several servers as one channel, event by event."""

from __future__ import annotations

import pytest
from mcp_streamablehttp_proxy._common.channel import ChannelError, TurnCancelledError
from mcp_streamablehttp_proxy.combined.channel import PATIENCE

from .stage import PREFIX, Stage, error, result


def test_a_call_reaches_the_server_that_its_name_begins_with() -> None:
    stage = Stage()
    turn = stage.call("tools/call", name="b_now", arguments={"x": 1}, requestState="s")
    assert not stage.a.turns
    assert stage.b.saw()["params"]["name"] == "now"
    assert stage.b.saw()["params"]["requestState"] == "s"
    assert stage.b.turns[0].principal == "ada"
    stage.b.says("notifications/progress", progress=1)
    stage.b.results(content=[])
    assert result(turn) == {"content": []}
    assert [note["method"] for note in stage.heard] == ["notifications/progress"]


@pytest.mark.parametrize("method", ["tools/call", "prompts/get"])
def test_a_name_of_nobody_is_refused(method: str) -> None:
    stage = Stage()
    assert error(stage.call(method, name="now"))["code"] == -32602
    assert not stage.a.turns
    assert not stage.b.turns


def test_what_fails_at_the_server_fails_so_at_the_client() -> None:
    stage = Stage()
    turn = stage.call("tools/call", name="a_x")
    stage.a.fails(-32021, "needs more")
    assert error(turn)["code"] == -32021
    turn = stage.call("tools/call", name="a_x")
    stage.a.ends()
    with pytest.raises(ChannelError, match="server a exited"):
        turn.response()


def test_a_cancelled_call_is_cancelled_at_its_server() -> None:
    stage = Stage()
    turn = stage.call("tools/call", name="a_x")
    stage.channel.cancel(turn, "enough")
    assert isinstance(turn.outcome, TurnCancelledError)
    assert stage.a.cancelled == stage.a.turns
    assert not list(stage.channel.open)


def test_lists_are_one_list_with_prefixed_names() -> None:
    stage = Stage()
    turn = stage.call("tools/list")
    stage.b.results(tools=[{"name": "y", "odd": [1]}], ttlMs=500, cacheScope="public")
    assert not turn.settled
    stage.a.results(tools=[{"name": "x"}], ttlMs=1000, cacheScope="public")
    found = result(turn)
    assert [tool["name"] for tool in found["tools"]] == ["a_x", "b_y"]
    assert found["tools"][1]["odd"] == [1]
    assert (found["ttlMs"], found["cacheScope"], found["resultType"]) == (500, "public", "complete")
    assert "nextCursor" not in found


def test_pages_go_on_only_where_a_server_has_more() -> None:
    stage = Stage()
    turn = stage.call("prompts/list")
    stage.a.results(prompts=[{"name": "one"}], nextCursor="a2")
    stage.b.results(prompts=[{"name": "one"}])
    cursor = result(turn)["nextCursor"]
    turn = stage.call("prompts/list", cursor=cursor)
    assert stage.a.saw()["params"]["cursor"] == "a2"
    assert len(stage.b.turns) == 1
    stage.a.results(prompts=[{"name": "two"}])
    assert [prompt["name"] for prompt in result(turn)["prompts"]] == ["a_two"]
    assert "nextCursor" not in result(turn)


def test_a_cursor_may_be_as_long_as_the_servers_own() -> None:
    stage = Stage()
    turn = stage.call("tools/list")
    stage.a.results(tools=[], nextCursor="a" * 100_000)
    stage.b.results(tools=[])
    stage.call("tools/list", cursor=result(turn)["nextCursor"])
    assert stage.a.saw()["params"]["cursor"] == "a" * 100_000


@pytest.mark.parametrize("cursor", ["", "x", "!!", "bnVsbA==", "WzFd", 5, "é"])
def test_a_cursor_of_nobody_is_refused(cursor: object) -> None:
    assert error(Stage().call("tools/list", cursor=cursor))["code"] == -32602


def test_a_broken_server_is_left_out_and_its_return_is_told() -> None:
    stage = Stage()
    stage.b.broken = "is not installed"
    turn = stage.call("tools/list")
    stage.a.results(tools=[{"name": "x"}], ttlMs=1000, cacheScope="public")
    assert [tool["name"] for tool in result(turn)["tools"]] == ["a_x"]
    assert (result(turn)["ttlMs"], result(turn)["cacheScope"]) == (0, "private")
    assert dict(stage.channel.away) == {"b": "server b is not installed"}
    stage.call("subscriptions/listen", notifications={"toolsListChanged": True})
    stage.a.says("notifications/subscriptions/acknowledged", notifications={"toolsListChanged": True})
    stage.b.broken = None
    stage.call("tools/call", name="b_y")
    stage.b.results(content=[])
    assert not stage.channel.away
    assert [note["method"] for note in stage.heard] == [
        "notifications/subscriptions/acknowledged",
        "notifications/tools/list_changed",
    ]


def test_where_all_are_broken_the_client_is_told_why() -> None:
    stage = Stage()
    stage.a.broken = stage.b.broken = "is not installed"
    with pytest.raises(ChannelError, match="server a is not installed"):
        stage.call("tools/list").response()


def test_a_silent_server_is_waited_for_no_longer_than_its_time() -> None:
    stage = Stage()
    turn = stage.call("server/discover")
    stage.a.results(capabilities={"tools": {}}, instructions="Use it.")
    stage.clock.advance(PATIENCE - 1)
    assert not turn.settled
    stage.clock.advance(1)
    assert result(turn)["instructions"] == "# a\n\nUse it."
    assert "b" in stage.channel.away
    stage.b.results(capabilities={})
    assert not stage.channel.away


def test_introductions_are_one() -> None:
    stage = Stage()
    turn = stage.call("server/discover")
    stage.a.results(capabilities={"tools": {}, "logging": {}}, instructions="First.")
    stage.b.results(
        capabilities={"tools": {"listChanged": False}, "resources": {"subscribe": True}},
        instructions="Second.",
    )
    found = result(turn)
    assert found["capabilities"] == {
        "tools": {"listChanged": True},
        "logging": {},
        "resources": {"subscribe": True, "listChanged": True},
    }
    assert found["instructions"] == "# a\n\nFirst.\n\n# b\n\nSecond."
    assert found["supportedVersions"] == ["2026-07-28"]
    assert found["_meta"][f"{PREFIX}serverInfo"] == {"name": "both", "version": "1"}


def test_a_resource_is_read_where_it_was_listed() -> None:
    stage = Stage()
    turn = stage.call("resources/list")
    stage.a.results(resources=[{"uri": "x://1"}, {"uri": "x://both"}])
    stage.b.results(resources=[{"uri": "x://2"}, {"uri": "x://both"}])
    assert [one["uri"] for one in result(turn)["resources"]] == ["x://1", "x://both", "x://2"]
    turn = stage.call("resources/read", uri="x://2")
    assert stage.b.saw()["params"]["uri"] == "x://2"
    stage.b.results(contents=[])
    assert result(turn) == {"contents": []}
    assert stage.a.saw()["method"] == "resources/list"


def test_a_resource_of_a_template_is_read_there_first() -> None:
    stage = Stage()
    stage.call("resources/templates/list")
    stage.a.results(resourceTemplates=[{"uriTemplate": "x://{any}"}])
    stage.b.results(resourceTemplates=[{"uriTemplate": "x://notes/{id}"}])
    turn = stage.call("resources/read", uri="x://notes/5")
    assert stage.b.saw()["method"] == "resources/read"
    stage.b.results(contents=[5])
    assert result(turn) == {"contents": [5]}


def test_an_unknown_resource_is_read_from_whoever_has_it() -> None:
    stage = Stage()
    turn = stage.call("resources/read", uri="x://3")
    stage.a.fails(-32602, "no such resource")
    stage.b.results(contents=[3])
    assert result(turn) == {"contents": [3]}
    stage.call("resources/read", uri="x://3")
    assert len(stage.a.turns) == 1  # it is known now
    turn = stage.call("resources/read", uri="x://none")
    stage.a.fails(-32602, "no such resource")
    stage.b.fails(-32603, "the disk is gone")
    assert error(turn)["message"] == "the disk is gone"


def test_a_resource_that_several_have_is_the_first_ones_whatever_the_order_of_answers() -> None:
    stage = Stage()
    stage.call("resources/list")
    stage.b.results(resources=[{"uri": "x://both"}])
    stage.a.ends()  # away, so that b is the only one known to have it
    stage.call("resources/read", uri="x://both")
    stage.b.results(contents=[])
    turn = stage.call("resources/list")
    stage.b.results(resources=[{"uri": "x://both", "name": "b"}])
    stage.a.results(resources=[{"uri": "x://both", "name": "a"}])
    assert [one["name"] for one in result(turn)["resources"]] == ["a"]
    asked = len(stage.b.turns)
    turn = stage.call("resources/read", uri="x://both")
    stage.a.results(contents=["a"])
    assert result(turn) == {"contents": ["a"]}
    assert len(stage.b.turns) == asked


def test_a_resource_that_its_server_has_no_more_is_read_from_the_next() -> None:
    stage = Stage()
    stage.call("resources/list")
    stage.a.results(resources=[{"uri": "x://both"}])
    stage.b.results(resources=[{"uri": "x://both"}])
    turn = stage.call("resources/read", uri="x://both")
    stage.a.fails(-32603, "the disk is gone")
    assert error(turn)["message"] == "the disk is gone"  # no reason to show another's
    turn = stage.call("resources/read", uri="x://both")
    stage.a.fails(-32002, "no such resource")
    stage.b.results(contents=["b"])
    assert result(turn) == {"contents": ["b"]}
    turn = stage.call("resources/list")
    stage.a.results(resources=[])
    stage.b.results(resources=[{"uri": "x://both"}])
    assert [one["uri"] for one in result(turn)["resources"]] == ["x://both"]


def test_completions_go_to_the_server_of_the_prompt_or_template() -> None:
    stage = Stage()
    stage.call("completion/complete", ref={"type": "ref/prompt", "name": "b_p"}, argument={"name": "n"})
    assert stage.b.saw()["params"]["ref"] == {"type": "ref/prompt", "name": "p"}
    stage.call("resources/templates/list")
    stage.a.results(resourceTemplates=[{"uriTemplate": "x://{any}"}])
    stage.b.results(resourceTemplates=[])
    turn = stage.call("completion/complete", ref={"type": "ref/resource", "uri": "x://{any}"})
    stage.a.results(completion={"values": ["one"]})
    assert result(turn)["completion"] == {"values": ["one"]}


def test_a_listener_hears_every_server_under_its_own_id() -> None:
    stage = Stage()
    wanted = {"toolsListChanged": True, "resourceSubscriptions": ["x://1"]}
    turn = stage.call("subscriptions/listen", notifications=wanted)
    assert stage.a.saw()["params"]["notifications"] == wanted
    stage.b.says("notifications/tools/list_changed")
    stage.b.says("notifications/subscriptions/acknowledged", notifications={"toolsListChanged": True})
    assert not stage.heard
    stage.a.says(
        "notifications/subscriptions/acknowledged", notifications={"resourceSubscriptions": ["x://1"]}
    )
    stage.a.says("notifications/resources/updated", uri="x://1")
    assert [note["method"] for note in stage.heard] == [
        "notifications/subscriptions/acknowledged",
        "notifications/tools/list_changed",
        "notifications/resources/updated",
    ]
    assert stage.heard[0]["params"]["notifications"] == wanted
    assert {note["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] for note in stage.heard} == {
        "r1"
    }
    stage.channel.cancel(turn, "enough")
    assert (len(stage.a.cancelled), len(stage.b.cancelled)) == (1, 1)
    assert not list(stage.channel.open)


def test_a_resource_is_followed_only_where_it_is() -> None:
    stage = Stage()
    stage.call("resources/list")
    stage.a.results(resources=[{"uri": "x://1"}])
    stage.b.results(resources=[])
    stage.call("subscriptions/listen", notifications={"resourceSubscriptions": ["x://1"]})
    assert stage.a.saw()["params"]["notifications"] == {"resourceSubscriptions": ["x://1"]}
    assert stage.b.saw()["params"]["notifications"] == {}


def test_a_server_that_ended_is_listened_to_again() -> None:
    stage = Stage()
    stage.call("subscriptions/listen", notifications={"toolsListChanged": True})
    for server in (stage.a, stage.b):
        server.says("notifications/subscriptions/acknowledged", notifications={"toolsListChanged": True})
    stage.a.ends()
    assert len(stage.a.turns) == 1
    stage.clock.advance(1)
    assert len(stage.a.turns) == 2
    stage.a.ends()
    stage.clock.advance(1)
    assert len(stage.a.turns) == 2
    stage.clock.advance(1)
    stage.a.says("notifications/subscriptions/acknowledged", notifications={"toolsListChanged": True})
    assert [note["method"] for note in stage.heard][1:] == ["notifications/tools/list_changed"]


def test_upkeep_listens_again_when_the_server_next_answers() -> None:
    stage = Stage()
    stage.call("subscriptions/listen", upkeep=True, notifications={"toolsListChanged": True})
    stage.a.ends()
    stage.clock.advance(1000)
    assert len(stage.a.turns) == 1
    stage.call("tools/call", name="a_x")
    stage.a.results(content=[])
    assert stage.a.saw()["method"] == "subscriptions/listen"


def test_what_says_no_server_is_refused() -> None:
    assert error(Stage().call("tasks/get", taskId="5"))["code"] == -32601


def test_no_name_is_shown_that_would_lead_to_another_server() -> None:
    stage = Stage({"a": "", "b": "b_"})
    turn = stage.call("tools/list")
    stage.a.results(tools=[{"name": "x"}, {"name": "b_x"}])
    stage.b.results(tools=[{"name": "x"}])
    assert [tool["name"] for tool in result(turn)["tools"]] == ["x", "b_x"]
    stage.call("tools/call", name="b_x")
    assert stage.b.saw()["params"]["name"] == "x"
    assert stage.a.saw()["method"] == "tools/list"
