"""`subscriptions/listen` in front of a child that only knows the handshake."""

from __future__ import annotations

import asyncio

import pytest
from mcp_streamablehttp_proxy.settings import Settings

from ..support import Start
from .support import Front, Modern

PREFIX = "io.modelcontextprotocol/"
TEXT, BINARY = "test://static-text", "test://static-binary"


async def test_the_first_message_says_what_will_be_told(translated: Modern) -> None:
    wanted = {
        "toolsListChanged": True,
        "promptsListChanged": False,
        "resourceSubscriptions": [TEXT, "test://none"],
        "unknown": True,
    }
    async with translated.listen(**wanted) as events:
        first = await events.next()
    assert first["method"] == "notifications/subscriptions/acknowledged"
    assert first["params"]["_meta"] == {f"{PREFIX}subscriptionId": "r1"}
    assert first["params"]["notifications"] == {"toolsListChanged": True, "resourceSubscriptions": [TEXT]}


async def test_a_server_that_offers_nothing_is_acknowledged_with_nothing(start: Start) -> None:
    running = await start()
    client = Modern(running.http, running)
    async with client.listen(toolsListChanged=True) as events:
        assert (await events.next())["params"]["notifications"] == {}


async def test_only_what_was_asked_for_is_told(translated: Modern) -> None:
    async with translated.listen(promptsListChanged=True) as events:
        await events.next()
        await translated.call("test_trigger_tool_change")
        await translated.call("test_trigger_prompt_change")
        told = await events.next()
    assert told["method"] == "notifications/prompts/list_changed"
    assert told["params"]["_meta"] == {f"{PREFIX}subscriptionId": "r1"}


async def test_changed_resources_are_told_to_whoever_follows_them(translated: Modern) -> None:
    async with (
        translated.listen(resourceSubscriptions=[TEXT]) as one,
        translated.listen(resourceSubscriptions=[BINARY, TEXT]) as both,
    ):
        await one.next()
        await both.next()
        assert await translated.text("test_trigger_resource_update") == "updated 2"
        assert (await one.next())["params"]["uri"] == TEXT
        assert [(await both.next())["params"]["uri"] for _ in range(2)] == [BINARY, TEXT]


async def test_the_last_listener_that_goes_unsubscribes(translated: Modern) -> None:
    async with translated.listen(resourceSubscriptions=[TEXT]) as one:
        await one.next()
        async with translated.listen(resourceSubscriptions=[TEXT]) as other:
            await other.next()
        assert await translated.text("test_trigger_resource_update") == "updated 1"
    # Each round tells the listener that has gone one thing more: it is missed all the same.
    while await translated.text("test_trigger_resource_update") != "updated 0":
        await asyncio.sleep(0)


async def test_a_shutdown_ends_with_a_result(translated: Modern) -> None:
    async with translated.listen(toolsListChanged=True) as events:
        await events.next()
        translated.era.drain()
        last = await events.next()
        assert last == {
            "jsonrpc": "2.0",
            "id": "r1",
            "result": {"resultType": "complete", "_meta": {f"{PREFIX}subscriptionId": "r1"}},
        }
        assert await events.next() is None


async def test_a_server_that_dies_ends_the_stream_without_a_result(translated: Modern) -> None:
    async with translated.listen(toolsListChanged=True) as events:
        await events.next()
        child = await translated.child()
        await child.close()
        assert await events.next() is None


async def test_a_quiet_stream_is_kept_alive(front: Front, settings: type[Settings]) -> None:
    client = await front("handshake", settings=settings(keepalive=0.1))
    async with client.stream(client.request("subscriptions/listen", notifications={})) as events:
        async for line in events.response.aiter_lines():
            if line.startswith(":"):
                break


@pytest.mark.parametrize(
    "wanted", [None, [], "x", {"resourceSubscriptions": "x"}, {"resourceSubscriptions": [1]}]
)
async def test_a_filter_that_is_none_is_invalid(translated: Modern, wanted: object) -> None:
    response = await translated.post(translated.request("subscriptions/listen", notifications=wanted))
    assert (response.status_code, response.json()["error"]["code"]) == (400, -32602)
