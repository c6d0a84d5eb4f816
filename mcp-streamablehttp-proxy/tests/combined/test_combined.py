"""Servers of either era behind one /mcp, for clients of either era, in real processes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp.client import Client, ClientRequestContext
from mcp.types import ElicitRequestParams, ElicitResult, TextContent
from mcp_streamablehttp_proxy._common.settings import SettingsError
from mcp_streamablehttp_proxy.config import Configuration, read_servers
from mcp_streamablehttp_proxy.settings import Server, Settings, check

from ..modern.support import COMMANDS, PREFIX, Modern
from ..support import SCRIPTED, Eventually, Running, Start

ASKING = "old_test_input_required_result_elicitation"


def servers(**options: Any) -> tuple[Server, ...]:
    return tuple(
        Server(name=name, command=command, stop_timeout=1.0, **options)
        for name, command in (("old", COMMANDS["handshake"]), ("new", COMMANDS["modern"]))
    )


@pytest.fixture
async def both(start: Start) -> Running:
    return await start(*servers(), settings=Settings(combine=True))


@pytest.fixture(params=["2026-07-28", "legacy"])
def mode(request: pytest.FixtureRequest) -> str:
    param: str = request.param
    return param


def modern(running: Running, **capabilities: Any) -> Modern:
    return Modern(running.http, running, capabilities=capabilities)


async def test_the_sdk_uses_both_servers(both: Running, mode: str) -> None:
    asked: list[str] = []

    async def name(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        asked.append(params.message)
        return ElicitResult(action="accept", content={"name": "Ada"})

    address = f"http://127.0.0.1:{both.port}/mcp"
    async with Client(address, mode=mode, elicitation_callback=name) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        assert {"old_test_simple_text", "new_params", ASKING} <= names
        assert all(one.startswith(("old_", "new_")) for one in names)
        said = await client.call_tool("new_params", {"x": 1})
        assert isinstance(said.content[0], TextContent)
        assert json.loads(said.content[0].text)["name"] == "params"
        said = await client.call_tool(ASKING, {})
        assert isinstance(said.content[0], TextContent)
        assert said.content[0].text == "Hello, Ada!"
        assert len(asked) == 1
        prompts = {prompt.name for prompt in (await client.list_prompts()).prompts}
        assert "old_test_simple_prompt" in prompts
        got = await client.get_prompt("old_test_prompt_with_arguments", {"arg1": "a", "arg2": "b"})
        assert "arg1='a'" in str(got.messages[0].content)
        listed = [str(one.uri) for one in (await client.list_resources()).resources]
        for uri in (*listed, "test://template/7/data"):
            assert (await client.read_resource(uri)).contents
        templates = (await client.list_resource_templates()).resource_templates
        assert [one.uri_template for one in templates] == ["test://template/{id}/data"]


@pytest.mark.parametrize(
    ("method", "code", "text"),
    [
        ("tools/call", -32602, "Unknown tool: test_simple_text"),
        ("prompts/get", -32602, "Unknown prompt: test_simple_text"),
        ("tasks/get", -32601, "tasks/get does not say which of several servers it is for"),
    ],
)
async def test_what_no_server_has_is_refused_in_a_session_too(
    both: Running, method: str, code: int, text: str
) -> None:
    """A name without a prefix leads to no server; who types it is told at once."""
    client = await both.opened()
    asked = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"name": "test_simple_text"}}
    assert (await client.post(asked)).json()["error"] == {"code": code, "message": text}


async def test_it_is_introduced_as_one(both: Running) -> None:
    discovered = (await modern(both).ask("server/discover"))["result"]
    initialized = await both.client().initialize()
    for found in (discovered, initialized):
        assert found["instructions"] == "# old\n\nAsk anything."
        assert found["capabilities"]["completions"] == {}
        assert found["capabilities"]["tools"] == {"listChanged": True}
    assert discovered["_meta"][f"{PREFIX}serverInfo"]["name"] == "combined"
    assert initialized["serverInfo"]["name"] == "combined"


async def test_progress_and_log_lines_come_with_the_call(both: Running) -> None:
    client = modern(both)
    meta = {"progressToken": "p", f"{PREFIX}logLevel": "debug"}
    async with client.stream(client.request("tools/call", meta, name="new_progress", arguments={})) as events:
        steps = [await events.next() for _ in range(3)]
    assert [step.get("method") for step in steps] == ["notifications/progress"] * 2 + [None]
    assert {step["params"]["progressToken"] for step in steps[:2]} == {"p"}
    async with client.stream(client.request("tools/call", meta, name="new_log", arguments={})) as events:
        assert (await events.next())["method"] == "notifications/message"


async def test_a_session_hears_that_a_list_changed(both: Running) -> None:
    client = await both.opened()
    subscribing = {
        "jsonrpc": "2.0",
        "id": 5,
        "method": "resources/subscribe",
        "params": {"uri": "test://one"},
    }
    assert (await client.post(subscribing)).json()["result"] == {}
    async with client.listen() as events:
        while (await client.call("new_change")) == "0":
            """Until the server has heard of the listener."""
        heard = ""
        while heard != "notifications/tools/list_changed":
            heard = (await events.message())["method"]


async def test_a_modern_listener_hears_that_a_list_changed(both: Running) -> None:
    client = modern(both)
    async with client.listen(toolsListChanged=True) as events:
        first = await events.next()
        assert first["method"] == "notifications/subscriptions/acknowledged"
        await client.call("new_change")
        assert (await events.next())["method"] == "notifications/tools/list_changed"


async def test_a_broken_server_is_left_out_and_told_of(start: Start) -> None:
    broken = Server(name="gone", command=("/nonexistent/server",))
    running = await start(*servers(), broken, settings=Settings(combine=True))
    for client in (await running.opened(), modern(running)):
        assert await (client.text if isinstance(client, Modern) else client.call)("old_test_simple_text")
    listed = (await modern(running).ask("tools/list"))["result"]["tools"]
    assert {tool["name"].partition("_")[0] for tool in listed} == {"old", "new"}
    health = (await running.http.get("/health")).json()
    assert health["status"] == "degraded"
    assert list(health["servers"]) == ["gone"]
    refused = await modern(running).post(modern(running).request("tools/call", name="gone_x", arguments={}))
    assert refused.status_code in (502, 503)
    assert "server gone" in refused.json()["error"]["message"]


async def test_a_server_that_dies_is_there_again_for_the_next_call(both: Running) -> None:
    client = await both.opened()
    response = await client.post(client.tool("new_exit"))
    assert "server new" in response.text
    assert "name" in await client.call("new_params")


async def test_sessions_have_processes_of_their_own(start: Start, eventually: Eventually) -> None:
    running = await start(
        Server(name="s", command=SCRIPTED, stop_timeout=1.0), settings=Settings(combine=True)
    )
    first, second = await running.opened(), await running.opened()
    pids = [await client.call("s_pid") for client in (first, first, second)]
    assert pids[0] == pids[1] != pids[2]
    await first.delete()
    await eventually(lambda: running.alive("s") == 1)
    assert await second.call("s_pid") == pids[2]


async def test_users_keep_apart_from_each_other(start: Start) -> None:
    settings = Settings(combine=True, trust_identity=True)
    running = await start(*servers(isolation="user"), settings=settings)
    ada, bob = (modern(running, elicitation={}).user(name) for name in ("ada", "bob"))
    asked = (await ada.call(ASKING))["result"]
    assert asked["resultType"] == "input_required"
    answers = {key: {"action": "accept", "content": {"name": "Ada"}} for key in asked["inputRequests"]}
    retry = {
        "name": ASKING,
        "arguments": {},
        "inputResponses": answers,
        "requestState": asked["requestState"],
    }
    refused = await bob.ask("tools/call", **retry)
    assert refused["error"]["code"] == -32602
    answered = await ada.ask("tools/call", **retry)
    assert answered["result"]["content"][0]["text"] == "Hello, Ada!"


async def test_the_servers_alone_are_served_as_before(both: Running) -> None:
    alone = both.client("/old/mcp")
    await alone.initialize()
    assert await alone.call("test_simple_text")


async def test_a_changed_file_makes_another_combination(both: Running, eventually: Eventually) -> None:
    old = await both.opened()
    both.app.hub.reload(lambda: Configuration(servers()[:1]))
    gone = await old.post(old.tool("old_test_simple_text"))
    assert gone.status_code == 404
    names = {tool["name"] for tool in (await modern(both).ask("tools/list"))["result"]["tools"]}
    assert names
    assert all(name.startswith("old_") for name in names)


async def test_a_shutdown_answers_open_calls(both: Running, eventually: Eventually) -> None:
    open_ = asyncio.create_task(modern(both).call("new_hang"))
    pool = both.app.hub.endpoints["new"].pool

    def under_way() -> list[str]:
        return [turn.message.method for child in pool._children for turn in child.open]

    await eventually(lambda: "tools/call" in under_way())
    both.app.hub.abandon()
    assert "server new" in (await open_)["error"]["message"]


def test_prefixes_come_from_the_file(tmp_path: Path) -> None:
    file = tmp_path / "mcp.json"
    entries = {
        "a.b": {"command": "x"},
        "c": {"command": "x", "combined": ""},
        "d": {"command": "x", "combined": False},
    }
    file.write_text(json.dumps({"mcpServers": entries}))
    found = {server.name: server for server in read_servers(file, {}).servers}
    assert {name: server.prefix for name, server in found.items() if server.combined} == {
        "a.b": "a_b_",
        "c": "",
    }
    assert not found["d"].combined
    wrongs: tuple[object, ...] = (5, "ü", "a b", "x" * 65, None, [])
    for wrong in wrongs:
        file.write_text(json.dumps({"mcpServers": {**entries, "e": {"command": "x", "combined": wrong}}}))
        assert "combined must be" in read_servers(file, {}).broken["e"]


def test_two_servers_cannot_have_one_prefix() -> None:
    same = (Server(name="a.b", command=("x",)), Server(name="a_b", command=("x",)))
    check(Settings(), same)
    with pytest.raises(SettingsError, match=r"servers a\.b and a_b have the same prefix"):
        check(Settings(combine=True), same)


def test_no_server_has_the_name_of_the_combination() -> None:
    with pytest.raises(SettingsError, match="name the server otherwise"):
        check(Settings(combine=True), (Server(name="combined", command=("x",)),))


async def test_one_server_alone_is_not_combined(start: Start) -> None:
    with pytest.raises(SettingsError, match="--config"):
        await start(Server(name="x", command=SCRIPTED, alone=True), settings=Settings(combine=True))


async def test_a_broken_request_is_told_so(both: Running) -> None:
    client = modern(both)
    response: httpx.Response = await client.post(client.request("tools/list", cursor="x"))
    assert response.status_code == 400
    assert response.json()["error"]["code"] == -32602
