"""A child that speaks 2026-07-28: messages pass as they came."""

from __future__ import annotations

import asyncio
import json

from ..support import Read
from .support import Modern

PREFIX = "io.modelcontextprotocol/"


async def test_requests_and_results_pass_with_members_nobody_knows(native: Modern) -> None:
    body = native.request("tools/call", {"vendor/x": [1]}, name="params", arguments={}, odd={"kept": 1.50})
    response = await native.post(body)
    seen = json.loads(response.json()["result"]["content"][0]["text"])
    assert seen == body["params"]
    echoed = await native.post(
        native.request("tools/call", name="echo", arguments={"text": "x"}), mcp_param_text="x"
    )
    assert echoed.json()["result"]["x-odd"] == [1]


async def test_discovery_is_the_childs_own_but_for_versions_not_served(native: Modern) -> None:
    result = (await native.ask("server/discover"))["result"]
    assert result["capabilities"]["x-unknown"] == {"kept": 1}
    assert result["supportedVersions"] == ["2026-07-28"]
    assert result["_meta"][f"{PREFIX}serverInfo"]["name"] == "modern-only"
    assert (result["ttlMs"], result["cacheScope"]) == (1000, "public")


async def test_a_missing_capability_is_a_bad_request(native: Modern) -> None:
    response = await native.post(native.request("tools/call", name="needs_sampling", arguments={}))
    assert response.status_code == 400
    assert response.json()["error"]["data"] == {"requiredCapabilities": {"sampling": {}}}


async def test_input_required_and_its_retry_pass(native: Modern) -> None:
    first = (await native.call("greet"))["result"]
    assert first["resultType"] == "input_required"
    answers = {"user": {"action": "accept", "content": {"name": "Ada"}}}
    second = await native.ask(
        "tools/call", name="greet", inputResponses=answers, requestState=first["requestState"]
    )
    assert sorted(second["result"]["inputRequests"]) == ["greeting", "where"]


async def test_progress_comes_on_the_stream_under_the_clients_token(native: Modern, messages: Read) -> None:
    body = native.request("tools/call", {"progressToken": "mine"}, name="progress", arguments={})
    *progress, last = messages(await native.post(body))
    assert [one["params"] for one in progress] == [
        {"progressToken": "mine", "progress": 1},
        {"progressToken": "mine", "progress": 2},
    ]
    assert last["id"] == body["id"]


async def test_log_messages_need_a_level_and_respect_it(native: Modern, messages: Read) -> None:
    body = native.request("tools/call", {f"{PREFIX}logLevel": "warning"}, name="log", arguments={})
    *logged, _ = messages(await native.post(body))
    assert [one["params"]["level"] for one in logged] == ["error"]


async def test_a_subscription_carries_the_clients_id(native: Modern) -> None:
    async with native.listen(toolsListChanged=True, resourceSubscriptions=["test://one"]) as events:
        acknowledged = await events.next()
        assert acknowledged["method"] == "notifications/subscriptions/acknowledged"
        id_ = acknowledged["params"]["_meta"][f"{PREFIX}subscriptionId"]
        assert id_ == "r1"
        await native.call("change")
        changed, updated = await events.next(), await events.next()
        assert changed["method"] == "notifications/tools/list_changed"
        assert updated["params"] == {"_meta": {f"{PREFIX}subscriptionId": id_}, "uri": "test://one"}


async def test_a_closed_stream_cancels_the_call(native: Modern) -> None:
    hanging = asyncio.create_task(native.call("hang"))
    while await native.text("running") != "1":
        await asyncio.sleep(0)
    hanging.cancel()
    while await native.text("running") != "0":
        await asyncio.sleep(0)


async def test_a_closed_subscription_is_cancelled_at_the_child(native: Modern) -> None:
    async with native.listen(toolsListChanged=True) as events:
        await events.next()
        assert await native.text("change") == "1"
    while await native.text("change") != "0":
        await asyncio.sleep(0)


async def test_a_subscription_ends_with_a_result_at_a_shutdown(native: Modern) -> None:
    async with native.listen(toolsListChanged=True) as events:
        await events.next()
        native.era.drain()
        last = await events.next()
        assert last["result"]["resultType"] == "complete"
        assert last["result"]["_meta"] == {f"{PREFIX}subscriptionId": last["id"]}
        assert await events.next() is None


async def test_a_subscription_that_the_server_ends_ends_with_a_result(native: Modern) -> None:
    async with native.listen(toolsListChanged=True) as events:
        await events.next()
        await native.call("drop")
        assert (await events.next())["result"]["resultType"] == "complete"


async def test_the_proxy_itself_listens_for_changed_tools(native: Modern) -> None:
    """So that the check of Mcp-Param headers does not work with schemas of yesterday."""
    body = native.request("tools/call", name="echo", arguments={"text": "x"})
    assert (await native.post(body)).status_code == 400
    assert await native.text("change") == "1"
    assert (await native.post(body)).status_code == 400


async def test_a_child_that_dies_is_a_bad_gateway_and_is_started_again(native: Modern) -> None:
    response = await native.post(native.request("tools/call", name="exit", arguments={}))
    assert response.status_code == 502
    assert "exited with status 3" in response.json()["error"]["message"]
    assert (await native.ask("server/discover"))["result"]
