"""What passes through, and that it passes as it came."""

from __future__ import annotations

import asyncio
import json

import pytest

from .support import Client, Json, Read, Running, Start


async def test_messages_pass_byte_for_byte_but_for_the_id(proxy: Running) -> None:
    client = await proxy.opened()
    line = '{"jsonrpc":"2.0","id":$ID,"result":{"n":12345678901234567890123,"f":1.50,"u":"\\u00e9"},"x":1}'
    body = json.dumps(client.tool("raw", line=line)).replace('"id": 1', '"id": "a\\u0062"')
    response = await client.post(body)
    assert response.text == line.replace("$ID", '"a\\u0062"')


async def test_unknown_members_and_methods_reach_the_server(proxy: Running) -> None:
    client = await proxy.opened()
    odd = '{"jsonrpc":"2.0","id":9,"x-odd":[1,2],"method":"vendor/thing","params":{"n":1e400}}'
    assert (await client.post(odd)).json() == {"jsonrpc": "2.0", "id": 9, "result": {}}
    seen = json.loads(await client.call("seen"))
    found = next(message for message in seen if message.get("method") == "vendor/thing")
    assert found["x-odd"] == [1, 2]


async def test_initialize_result_is_the_servers_own(proxy: Running) -> None:
    result = await proxy.client().initialize("2025-06-18")
    assert result["capabilities"]["x-unknown"] == {"kept": 1}
    assert result["protocolVersion"] == "2025-06-18"


@pytest.mark.parametrize("id_", [0, 7, 1_999_999_999, "a-b.c:d_e", ""])
async def test_a_server_of_one_session_sees_the_request_as_it_came(proxy: Running, id_: int | str) -> None:
    client = await proxy.opened()
    request = {"method": "vendor/thing", "x": [1.50], "id": id_, "jsonrpc": "2.0"}
    assert (await client.post(request)).json() == {"jsonrpc": "2.0", "id": id_, "result": {}}
    assert (list(request.items()) in [list(seen.items()) for seen in await seen_by(client)]) == (id_ != "")


@pytest.mark.parametrize("id_", [-1, 1.0, 2_000_000_000, 10**15, "é", "a/b", 'quo"te', "x" * 65])
async def test_an_id_that_a_server_may_write_otherwise_is_replaced_and_given_back(
    proxy: Running, id_: float | str
) -> None:
    client = await proxy.opened()
    response = await client.post({"jsonrpc": "2.0", "id": id_, "method": "vendor/thing"})
    assert response.json() == {"jsonrpc": "2.0", "id": id_, "result": {}}
    found = next(seen for seen in await seen_by(client) if seen["method"] == "vendor/thing")
    assert 2_000_000_000 <= found["id"] < 2**31


async def test_sessions_that_share_a_server_never_share_an_id(start: Start) -> None:
    proxy = await start(isolation="shared")
    first, second = await proxy.opened(), await proxy.opened()
    request = {"jsonrpc": "2.0", "id": 7, "method": "vendor/thing"}
    for client in (first, second):
        assert (await client.post(request)).json()["id"] == 7
    ids = [seen["id"] for seen in await seen_by(first) if seen["method"] == "vendor/thing"]
    assert len(set(ids)) == 2
    assert 7 not in ids


async def seen_by(client: Client) -> list[Json]:
    """Every message that the server behind this client has read."""
    seen: list[Json] = json.loads(await client.call("seen"))
    return seen


async def test_two_requests_with_one_id_are_both_answered_px_id_collision(proxy: Running) -> None:
    client = await proxy.opened()
    requests = [client.tool("echo", text=text) | {"id": 7} for text in ("one", "two")]
    answers = await asyncio.gather(*(client.post(request) for request in requests))
    texts = [answer.json()["result"]["content"][0]["text"] for answer in answers]
    assert texts == ["one", "two"]
    assert [answer.json()["id"] for answer in answers] == [7, 7]


async def test_a_line_of_two_megabytes_passes_px1(proxy: Running) -> None:
    client = await proxy.opened()
    assert len(await client.call("big", size=2_000_000)) == 2_000_000
    assert len(await client.call("echo", text="y" * 2_000_000)) == 2_000_000


async def test_a_line_over_the_cap_is_an_error_and_wedges_nothing(start: Start) -> None:
    proxy = await start(max_line=100_000)
    client = await proxy.opened()
    response = await client.post(client.tool("big", size=200_000))
    assert "more than the cap of 100000" in response.json()["error"]["message"]
    assert await client.call("echo", text="still here") == "still here"


async def test_a_server_that_writes_300_kb_to_stderr_goes_on_px2(proxy: Running) -> None:
    client = await proxy.opened()
    assert await client.call("stderr", size=300_000) == "written"
    assert await client.call("echo", text="still here") == "still here"


async def test_notifications_stay_notifications_px3(proxy: Running) -> None:
    client = await proxy.opened()
    note = {"jsonrpc": "2.0", "method": "notifications/roots/list_changed"}
    accepted = await client.post(note)
    assert (accepted.status_code, accepted.content) == (202, b"")
    seen = json.loads(await client.call("seen"))
    assert note in seen
    assert {"jsonrpc": "2.0", "method": "notifications/initialized"} in seen


async def test_progress_and_logs_come_before_the_answer_px4(proxy: Running, read: Read) -> None:
    client = await proxy.opened()
    response = await client.post(client.tool("progress", {"progressToken": "tok"}))
    *progress, last = read(response)
    assert [p["params"] for p in progress] == [
        {"progressToken": "tok", "progress": 1},
        {"progressToken": "tok", "progress": 2},
    ]
    assert last["result"]["content"][0]["text"] == "progressed"
    logged = read(await client.post(client.tool("log", text="hello")))
    assert logged[0]["params"]["data"] == "hello"


async def test_list_changes_come_on_the_get_stream(proxy: Running) -> None:
    client = await proxy.opened()
    async with client.listen() as events:
        await client.call("changed")
        assert (await events.message())["method"] == "notifications/tools/list_changed"


async def test_a_servers_request_is_answered_by_the_client_px5(proxy: Running) -> None:
    """Its id may equal the id of the client's own request."""
    client = await proxy.opened()
    request = client.tool("ask", method="sampling/createMessage", params={"maxTokens": 5})
    request["params"]["arguments"]["id"] = request["id"]
    async with client.stream(request) as events:
        asked = await events.message()
        assert (asked["id"], asked["method"]) == (request["id"], "sampling/createMessage")
        reply = {"jsonrpc": "2.0", "id": asked["id"], "result": {"role": "assistant"}}
        assert (await client.post(reply)).status_code == 202
        answer = await events.message()
    assert answer["id"] == request["id"]
    assert json.loads(answer["result"]["content"][0]["text"]) == {"role": "assistant"}


async def test_a_cancelled_call_is_cancelled_at_the_server_under_its_id(proxy: Running, read: Read) -> None:
    client = await proxy.opened()
    request = client.tool("hang") | {"id": "mine"}
    waiting = asyncio.create_task(client.post(request))
    while not any(m.get("params", {}).get("name") == "hang" for m in json.loads(await client.call("seen"))):
        await asyncio.sleep(0.01)
    params = {"requestId": "mine", "reason": "enough"}
    await client.post({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params})
    assert "cancelled" in read(await waiting)[-1]["error"]["message"]
    seen = json.loads(await client.call("seen"))
    hang = next(m for m in seen if m.get("params", {}).get("name") == "hang")
    cancelled = next(m for m in seen if m.get("method") == "notifications/cancelled")
    assert cancelled["params"] == {"requestId": hang["id"], "reason": "enough"}


async def test_trace_context_is_carried_in_meta(proxy: Running) -> None:
    client = await proxy.opened()
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    response = await client.post(client.tool("params"), traceparent=parent)
    params = json.loads(response.json()["result"]["content"][0]["text"])
    assert params["_meta"] == {"traceparent": parent}
    own = await client.post(client.tool("params", {"traceparent": "mine"}), traceparent=parent)
    params = json.loads(own.json()["result"]["content"][0]["text"])
    assert params["_meta"] == {"traceparent": "mine"}


async def test_pretty_printed_bodies_become_one_line(proxy: Running) -> None:
    client = await proxy.opened()
    response = await client.post(json.dumps(client.tool("echo", text="a\nb"), indent=2))
    assert response.json()["result"]["content"][0]["text"] == "a\nb"
