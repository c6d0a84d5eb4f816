"""A child that only knows the handshake, served to clients of 2026-07-28."""

from __future__ import annotations

import asyncio

import pytest
from mcp_streamablehttp_proxy.settings import Settings

from ..support import Json, Read, Start
from .support import Front, Modern

PREFIX = "io.modelcontextprotocol/"
ME = {f"{PREFIX}serverInfo": {"name": "handshake-only", "version": "1.0.0"}}


async def test_discovery_is_made_from_the_handshake(translated: Modern) -> None:
    result = (await translated.ask("server/discover"))["result"]
    assert result["resultType"] == "complete"
    assert result["supportedVersions"] == ["2026-07-28"]
    assert result["capabilities"]["tools"] == {"listChanged": True}
    assert result["capabilities"]["x-unknown"] == {"kept": 1}
    assert result["instructions"] == "Ask anything."
    assert result["_meta"] == ME
    assert (result["ttlMs"], result["cacheScope"]) == (0, "private")
    assert "protocolVersion" not in result


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("tools/list", {}),
        ("prompts/list", {}),
        ("resources/list", {}),
        ("resources/templates/list", {}),
        ("resources/read", {"uri": "test://static-text"}),
    ],
)
async def test_cacheable_results_say_how_long_and_for_whom(
    translated: Modern, method: str, params: Json
) -> None:
    result = (await translated.ask(method, **params))["result"]
    assert result["resultType"] == "complete"
    assert (result["ttlMs"], result["cacheScope"]) == (0, "private")
    assert result["_meta"] == ME


async def test_other_results_are_complete_and_signed_only(translated: Modern) -> None:
    result = (await translated.call("test_simple_text"))["result"]
    assert set(result) == {"resultType", "content", "_meta"}


async def test_members_nobody_knows_survive(translated: Modern) -> None:
    tools = (await translated.ask("tools/list"))["result"]["tools"]
    assert tools[0]["x-odd"] == [1]


@pytest.mark.parametrize(
    ("theirs", "ours", "status"),
    [
        (-32002, -32602, 400),
        (-32042, -32603, 200),
        (-32050, -32603, 200),
        (-32020, -32603, 200),
        (-32601, -32601, 404),
        (-32602, -32602, 400),
        (-32603, -32603, 200),
        (-32000, -32000, 200),
        (7, 7, 200),
    ],
)
async def test_codes_of_the_other_era_are_mapped(
    translated: Modern, theirs: int, ours: int, status: int
) -> None:
    client = translated.able()
    arguments = {"code": theirs}
    response = await client.post(client.request("tools/call", name="test_error_code", arguments=arguments))
    error = response.json()["error"]
    assert (error["code"], response.status_code) == (ours, status)
    assert (error["message"], error["data"]) == ("as asked", {"kept": True})


async def test_progress_keeps_the_clients_token(translated: Modern, messages: Read) -> None:
    body = translated.request(
        "tools/call", {"progressToken": 7}, name="test_tool_with_progress", arguments={}
    )
    *progress, last = messages(await translated.post(body))
    assert [one["params"]["progressToken"] for one in progress] == [7, 7, 7]
    assert last["result"]["resultType"] == "complete"


async def test_a_client_that_takes_no_stream_gets_the_answer_alone(translated: Modern) -> None:
    body = translated.request(
        "tools/call", {"progressToken": 7}, name="test_tool_with_progress", arguments={}
    )
    response = await translated.post(body, accept="application/json")
    assert response.json()["id"] == body["id"]


@pytest.mark.parametrize(
    ("level", "shown"),
    [(None, []), ("debug", ["debug", "info", "error"]), ("info", ["info", "error"]), ("critical", [])],
)
async def test_the_log_level_holds_for_one_request(
    translated: Modern, messages: Read, level: str | None, shown: list[str]
) -> None:
    await translated.ask("tools/call", {f"{PREFIX}logLevel": "debug"}, name="test_simple_text")
    body = translated.request("tools/call", {f"{PREFIX}logLevel": level}, name="test_logging_tool")
    *logged, _ = messages(await translated.post(body))
    assert [one["params"]["level"] for one in logged] == shown


async def test_while_it_is_unclear_whose_a_log_message_is_nobody_gets_it(translated: Modern) -> None:
    hanging = asyncio.create_task(translated.call("test_hang"))
    while await translated.text("test_running") != "1":
        await asyncio.sleep(0)
    body = translated.request("tools/call", {f"{PREFIX}logLevel": "debug"}, name="test_logging_tool")
    assert (await translated.post(body)).headers["content-type"] == "application/json"
    hanging.cancel()


async def test_a_closed_stream_cancels_the_call(translated: Modern) -> None:
    hanging = asyncio.create_task(translated.call("test_hang"))
    while await translated.text("test_running") != "1":
        await asyncio.sleep(0)
    hanging.cancel()
    while await translated.text("test_running") != "0":
        await asyncio.sleep(0)


async def test_a_call_that_takes_too_long_is_cancelled_and_answered(front: Front) -> None:
    client = await front("handshake", request_timeout=2.0)
    answer = await client.call("test_hang")
    assert "did not answer within 2 s" in answer["error"]["message"]
    while await client.text("test_running") != "0":
        await asyncio.sleep(0)


async def test_a_trace_reaches_the_child(start: Start) -> None:
    running = await start()
    client = Modern(running.http, running)
    trace = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"
    body = client.request("tools/call", name="params", arguments={})
    response = await client.post(body, traceparent=trace)
    assert trace in response.json()["result"]["content"][0]["text"]
    assert PREFIX not in response.json()["result"]["content"][0]["text"]


async def test_users_have_children_of_their_own(front: Front, settings: type[Settings]) -> None:
    client = await front("handshake", settings=settings(trust_identity=True), isolation="user")
    await asyncio.gather(*(client.user(name).call("test_simple_text") for name in ("ada", "bob", "ada")))
    assert client.running.alive() == 2


async def test_all_share_one_child_if_told_to(front: Front, settings: type[Settings]) -> None:
    client = await front("handshake", settings=settings(trust_identity=True), isolation="shared")
    await asyncio.gather(*(client.user(name).call("test_simple_text") for name in ("ada", "bob", "ada")))
    assert client.running.alive() == 1
