"""A handshake client in front of a child that speaks only 2026-07-28."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from ..support import Client, Json, Read, Running, Start
from .support import Commands

PREFIX = "io.modelcontextprotocol/"


@pytest.fixture(params=["session", "shared"])
async def running(request: pytest.FixtureRequest, start: Start, commands: Commands) -> Running:
    return await start(command=commands["modern"], isolation=request.param)


async def open_session(running: Running, **capabilities: Any) -> Client:
    client = running.client()
    await client.initialize(**capabilities)
    return client


async def test_initialize_is_answered_from_the_discovery(running: Running) -> None:
    client = running.client()
    result = await client.initialize("2025-06-18")
    assert result["protocolVersion"] == "2025-06-18"
    assert result["serverInfo"] == {"name": "modern-only", "version": "1.0.0"}
    assert result["capabilities"]["x-unknown"] == {"kept": 1}
    assert not {"resultType", "supportedVersions", "ttlMs", "cacheScope"} & set(result)


async def test_requests_get_an_envelope_and_keep_the_rest(start: Start, commands: Commands) -> None:
    client = await open_session(await start(command=commands["modern"]), sampling={"vendor": 1})
    seen = json.loads(await client.call("params", x=1.5))
    assert seen["arguments"] == {"x": 1.5}
    assert seen["_meta"] == {
        f"{PREFIX}protocolVersion": "2026-07-28",
        f"{PREFIX}clientInfo": {"name": "test", "version": "1"},
        f"{PREFIX}clientCapabilities": {"sampling": {"vendor": 1}},
    }


async def test_results_lose_what_only_the_other_era_says(running: Running) -> None:
    client = await open_session(running)
    tools = (await client.post({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})).json()
    assert set(tools["result"]) == {"tools"}
    echo = (await client.post(client.tool("echo", text="hello"))).json()
    assert echo["result"] == {"content": [{"type": "text", "text": "hello"}], "x-odd": [1]}


async def test_errors_pass(running: Running) -> None:
    client = await open_session(running)
    answer = (await client.post(client.tool("none"))).json()
    assert answer["error"] == {"code": -32602, "message": "no tool none"}


@pytest.mark.parametrize("method", ["ping", "logging/setLevel", "resources/unsubscribe"])
async def test_what_the_child_does_not_know_is_answered_for_it(running: Running, method: str) -> None:
    client = await open_session(running)
    params = {"level": "debug", "uri": "test://one"}
    response = await client.post({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    assert response.json() == {"jsonrpc": "2.0", "id": 1, "result": {}}


async def test_the_sessions_log_level_goes_into_requests(running: Running, read: Read) -> None:
    client = await open_session(running)
    assert [m.get("method") for m in read(await client.post(client.tool("log")))] == [None]
    level = {"jsonrpc": "2.0", "id": 1, "method": "logging/setLevel", "params": {"level": "debug"}}
    await client.post(level)
    logged = read(await client.post(client.tool("log")))
    assert [m["params"]["data"] for m in logged[:-1]] == ["debug", "error"]


async def test_progress_comes_under_the_clients_token(running: Running, read: Read) -> None:
    client = await open_session(running)
    body = client.tool("progress", {"progressToken": "mine"})
    *progress, last = read(await client.post(body))
    assert [one["params"]["progressToken"] for one in progress] == ["mine", "mine"]
    assert last["id"] == body["id"]


async def test_input_required_becomes_requests_to_the_session(running: Running) -> None:
    client = await open_session(running, elicitation={}, sampling={}, roots={})
    async with client.stream(client.tool("greet")) as events:
        asked = await events.message()
        assert asked["method"] == "elicitation/create"
        await answer(client, asked, {"action": "accept", "content": {"name": "Ada"}})
        both = {m["method"]: m for m in (await events.message(), await events.message())}
        sampling = both["sampling/createMessage"]
        assert sampling["params"]["messages"][0]["content"]["text"] == "Ada"
        await answer(client, both["roots/list"], {"roots": [{"uri": "file:///a"}]})
        await answer(client, sampling, {"role": "assistant", "content": {"type": "text", "text": "Hi"}})
        done = await events.message()
    assert done["result"]["content"][0]["text"] == "Hi, Ada, 1"


async def answer(client: Client, asked: Json, result: Json) -> None:
    response = await client.post({"jsonrpc": "2.0", "id": asked["id"], "result": result})
    assert response.status_code == 202


async def test_a_refused_elicitation_counts_as_cancelled_a_refused_sampling_fails(running: Running) -> None:
    client = await open_session(running, elicitation={}, sampling={}, roots={})
    error = {"code": -1, "message": "no, thanks"}
    async with client.stream(client.tool("greet")) as events:
        asked = await events.message()
        await client.post({"jsonrpc": "2.0", "id": asked["id"], "error": error})
        both = {m["method"]: m for m in (await events.message(), await events.message())}
        sampling = both["sampling/createMessage"]
        assert sampling["params"]["messages"][0]["content"]["text"] == "cancel"
        await client.post({"jsonrpc": "2.0", "id": sampling["id"], "error": error})
        withdrawn = await events.message()
        assert withdrawn["method"] == "notifications/cancelled"
        assert withdrawn["params"]["requestId"] == both["roots/list"]["id"]
        failed = await events.message()
    assert failed["error"]["message"] == "the client did not answer sampling/createMessage: no, thanks"


async def test_a_question_is_answered_by_its_own_session_only(running: Running) -> None:
    able: Json = {"elicitation": {}, "sampling": {}, "roots": {}}
    client, other = [await open_session(running, **able) for _ in range(2)]
    async with client.stream(client.tool("greet")) as events:
        asked = await events.message()
        await answer(other, asked, {"action": "accept", "content": {"name": "Eve"}})
        await answer(client, asked, {"action": "accept", "content": {"name": "Ada"}})
        for message in (await events.message(), await events.message()):
            if message["method"] == "sampling/createMessage":
                assert message["params"]["messages"][0]["content"]["text"] == "Ada"


async def test_changes_are_listened_for_and_told_on_the_sessions_stream(running: Running) -> None:
    client = await open_session(running)
    subscribe = {"method": "resources/subscribe", "params": {"uri": "test://one"}}
    assert (await client.post({"jsonrpc": "2.0", "id": 1, **subscribe})).json()["result"] == {}
    async with client.listen() as events:
        assert await client.call("change") == "1"
        await client.call("drop")
        await client.call("change")
        changed, updated, again = [await events.message() for _ in range(3)]
    assert (changed["method"], changed["params"]) == ("notifications/tools/list_changed", {})
    assert updated["params"] == {"uri": "test://one"}
    assert again == changed, "what ends a subscription is no matter of the session"


async def test_cancellation_reaches_the_child(running: Running) -> None:
    client = await open_session(running)
    quiet = int(await client.call("running"))
    body = client.tool("hang")
    hanging = asyncio.create_task(client.post(body))
    while int(await client.call("running")) == quiet:
        await asyncio.sleep(0)
    params = {"requestId": body["id"]}
    await client.post({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params})
    while int(await client.call("running")) != quiet:
        await asyncio.sleep(0)
    assert (await hanging).json()["error"]["message"] == "request cancelled: cancelled by the client"


async def test_a_child_that_dies_answers_its_calls_with_an_error(running: Running) -> None:
    client = await open_session(running)
    answered = (await client.post(client.tool("exit"))).json()
    assert "exited with status 3" in answered["error"]["message"]
