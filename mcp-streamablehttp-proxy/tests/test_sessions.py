"""Sessions over HTTP as the specification has them: statuses, streams, resumption, batches."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest
from mcp_streamablehttp_proxy.settings import Settings

from .support import Eventually, Read, Running, Start

PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}


async def test_unknown_session_is_404_and_the_client_can_initialize_again_px7(proxy: Running) -> None:
    client = await proxy.opened()
    assert (await client.delete()).status_code == 200
    gone = await client.post(PING)
    assert gone.status_code == 404
    assert "initialize again" in gone.json()["error"]["message"]
    client.session = None
    await client.initialize()
    assert (await client.post(PING)).status_code == 200


async def test_missing_session_is_400(proxy: Running) -> None:
    response = await proxy.client().post(PING)
    assert response.status_code == 400
    assert response.json()["id"] == 1


async def test_initializing_a_session_twice_is_400(proxy: Running) -> None:
    client = await proxy.opened()
    assert (await client.post(client.initialization())).status_code == 400


async def test_a_request_of_a_session_stays_the_sessions_whatever_its_meta_says(proxy: Running) -> None:
    client = await proxy.opened()
    meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}
    response = await client.post(client.tool("params", meta), mcp_protocol_version="2025-11-25")
    assert json.loads(response.json()["result"]["content"][0]["text"])["_meta"] == meta


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        ("{not json", {}, 400, -32700),
        ('{"jsonrpc":"2.0","id":1,"method":"ping","params":NaN}', {}, 400, -32700),
        ('"text"', {}, 400, -32600),
        ('{"jsonrpc":"1.0","id":1,"method":"ping"}', {}, 400, -32600),
        ('{"jsonrpc":"2.0","id":{},"method":"ping"}', {}, 400, -32600),
        ('{"jsonrpc":"2.0","id":1,"result":{},"error":{}}', {}, 400, -32600),
        (PING, {"content_type": "text/plain"}, 415, -32600),
        (PING, {"content_encoding": "gzip"}, 415, -32600),
        (PING, {"accept": "text/html"}, 406, -32600),
        (PING, {"mcp_protocol_version": "1999-01-01"}, 400, -32022),
        ("[" + json.dumps(PING) + "]", {}, 400, -32600),
        ("x" * (4 * 1024 * 1024 + 1), {}, 413, -32600),
    ],
)
async def test_bad_requests(
    proxy: Running, body: object, headers: dict[str, str], status: int, code: int
) -> None:
    client = await proxy.opened()
    response = await client.post(body, **headers)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)


async def test_a_chunked_body_over_the_cap_is_413(proxy: Running) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(6):
            yield b" " * 1_000_000

    headers = {"content-type": "application/json"}
    response = await proxy.http.post("/mcp", content=chunks(), headers=headers)
    assert response.status_code == 413


async def test_other_methods_are_405(proxy: Running) -> None:
    response = await proxy.http.put("/mcp")
    assert (response.status_code, response.headers["allow"]) == (405, "GET, POST, DELETE")


async def test_no_accept_header_means_anything(proxy: Running) -> None:
    """RFC 9110 section 12.5.1."""
    client = await proxy.opened()
    request = proxy.http.build_request(
        "POST", "/mcp", json=client.tool("echo", text="hi"), headers={"mcp-session-id": client.session or ""}
    )
    del request.headers["accept"]
    response = await proxy.http.send(request)
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")


async def test_the_answer_has_the_type_the_client_accepts_px6(proxy: Running, read: Read) -> None:
    client = await proxy.opened()
    for accept in ("application/json", "text/event-stream", "*/*", "application/json, text/event-stream"):
        response = await client.post(client.tool("echo", text="hi"), accept=accept)
        kind = response.headers["content-type"]
        assert kind == ("text/event-stream" if accept == "text/event-stream" else "application/json")
        assert read(response)[-1]["result"]["content"][0]["text"] == "hi"


async def test_a_json_only_client_gets_server_messages_on_its_get_stream(proxy: Running) -> None:
    client = await proxy.opened()
    async with client.listen() as events:
        response = await client.post(client.tool("log", text="here"), accept="application/json")
        assert response.json()["result"]["content"][0]["text"] == "logged"
        assert (await events.message())["params"]["data"] == "here"


async def test_the_newest_get_stream_receives_and_older_ones_stay_open(proxy: Running) -> None:
    """The gateway may not have noticed yet that the old one is gone."""
    client = await proxy.opened()
    async with client.listen() as first:
        async with client.listen() as second:
            assert (first.response.status_code, second.response.status_code) == (200, 200)
            await client.call("changed")
            assert (await second.message())["method"] == "notifications/tools/list_changed"
        session = next(iter(proxy.app.hub.endpoints["default"].handshake.sessions._sessions.values()))
        while len(session.standing.connections) > 1:
            await asyncio.sleep(0.01)
        await client.call("updated", uri="test://a")
        assert (await first.message())["method"] == "notifications/resources/updated"


async def test_the_fifth_get_stream_ends_the_oldest(proxy: Running) -> None:
    client = await proxy.opened()
    async with contextlib.AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(client.listen()) for _ in range(5)]
        with pytest.raises(EOFError):
            await streams[0].next()
        await client.call("changed")
        assert (await streams[4].message())["method"] == "notifications/tools/list_changed"


async def test_a_stream_begins_with_a_byte_at_once(proxy: Running) -> None:
    client = await proxy.opened()
    async with client.listen() as events:
        assert await anext(events.response.aiter_raw()) == b":\n\n"


async def test_an_answer_of_any_size_reaches_a_client_that_reads_streams(start: Start, read: Read) -> None:
    client = await (await start(settings=Settings(stream_after=0.01))).opened()
    size = 20 * 1024 * 1024
    async with client.stream(client.tool("big", size=size)) as events:
        priming = await events.next()
        answer = await events.message()
        assert len(answer["result"]["content"][0]["text"]) == size
    async with client.listen(last_event_id=priming["id"]) as events:
        assert await events.message() == answer, "it can be had again"


async def test_a_shutdown_answers_open_calls(proxy: Running, read: Read) -> None:
    client = await proxy.opened()
    waiting = asyncio.create_task(client.post(client.tool("hang"), accept="text/event-stream"))
    while "hang" not in await client.call("seen"):
        await asyncio.sleep(0.01)
    proxy.app.hub.drain(0.01)
    error = read(await waiting)[-1]["error"]["message"]
    assert error == "server default did not answer before the proxy was shut down"


async def test_what_came_before_the_get_stream_is_not_lost(proxy: Running) -> None:
    client = await proxy.opened()
    await client.call("changed")
    async with client.listen() as events:
        assert (await events.message())["method"] == "notifications/tools/list_changed"


async def test_a_missed_event_is_replayed_after_last_event_id(proxy: Running) -> None:
    client = await proxy.opened()
    async with client.listen() as events:
        await client.call("changed")
        first = await events.next()
        await client.call("updated", uri="test://a")
        await events.next()
    async with client.listen(last_event_id=first["id"]) as events:
        assert (await events.message())["params"] == {"uri": "test://a"}


async def test_a_lost_answer_is_resumed_from_the_priming_event(proxy: Running) -> None:
    """MCP 2025-11-25, SEP-1699: an event with an id and no data, and a retry time."""
    client = await proxy.opened()
    request = client.tool("ask", method="roots/list")
    async with client.stream(request) as events:
        priming = await events.next()
        assert (priming["data"], priming["retry"]) == ("", "1000")
        asked = await events.message()
    await client.post({"jsonrpc": "2.0", "id": asked["id"], "result": {"roots": []}})
    async with client.listen(last_event_id=priming["id"]) as events:
        assert await events.message() == asked
        answer = await events.message()
        assert answer["id"] == request["id"]
        with pytest.raises(EOFError):
            await events.next()


async def test_a_slow_call_becomes_a_stream_that_can_be_resumed(start: Start) -> None:
    proxy = await start(settings=Settings(stream_after=0.05))
    client = await proxy.opened()
    async with client.stream(client.tool("slow", seconds=0.3)) as events:
        priming = await events.next()
        assert priming["data"] == ""
    async with client.listen(last_event_id=priming["id"]) as events:
        assert (await events.message())["result"]["content"][0]["text"] == "late"


async def test_older_clients_get_no_event_without_data(start: Start) -> None:
    proxy = await start(settings=Settings(stream_after=0.05))
    client = proxy.client()
    await client.initialize("2025-06-18")
    async with client.stream(client.tool("slow", seconds=0.2)) as events:
        assert json.loads((await events.next())["data"])["result"]["content"][0]["text"] == "late"


async def test_keep_alive_comments_are_no_events(start: Start) -> None:
    proxy = await start(settings=Settings(stream_after=0.01, keepalive=0.02))
    client = await proxy.opened()
    response = await client.post(client.tool("slow", seconds=0.2))
    assert ": keep-alive" in response.text


async def test_the_event_store_is_bounded(start: Start) -> None:
    proxy = await start(settings=Settings(max_events=3))
    client = await proxy.opened()
    for number in range(10):
        await client.call("updated", uri=f"test://{number}")
    async with client.listen() as events:
        uris = [(await events.message())["params"]["uri"] for _ in range(3)]
    assert uris == ["test://7", "test://8", "test://9"]


async def test_batches_in_2025_03_26(proxy: Running, read: Read) -> None:
    client = proxy.client()
    await client.initialize("2025-03-26")
    note = {"jsonrpc": "2.0", "method": "notifications/roots/list_changed"}
    batch = [client.tool("echo", text="a"), note, client.tool("echo", text="b")]
    answers = read(await client.post(batch))
    assert [a["result"]["content"][0]["text"] for a in sorted(answers, key=lambda a: a["id"])] == ["a", "b"]
    assert (await client.post([note])).status_code == 202
    mixed = read(await client.post([client.tool("log", text="x"), client.tool("echo", text="y")]))
    assert [m.get("method") for m in mixed].count("notifications/message") == 1
    assert len([m for m in mixed if "result" in m]) == 2
    assert (await client.post([client.initialization()])).status_code == 400
    assert (await client.post([])).status_code == 400


async def test_a_call_that_takes_too_long_is_answered_and_cancelled(start: Start, read: Read) -> None:
    proxy = await start(request_timeout=2.0)
    client = await proxy.opened()
    for accept in ("application/json", "application/json, text/event-stream"):
        response = await client.post(client.tool("hang"), accept=accept)
        assert "did not answer in time" in read(response)[-1]["error"]["message"]
    seen = json.loads(await client.call("seen"))
    assert [m.get("method") for m in seen].count("notifications/cancelled") == 2


async def test_a_session_deleted_in_mid_call_answers_the_call(proxy: Running, eventually: Eventually) -> None:
    client = await proxy.opened()
    waiting = asyncio.create_task(client.post(client.tool("hang")))
    assert await client.call("echo", text="the call before is under way") != ""
    assert (await client.delete()).status_code == 200
    assert (await waiting).json()["error"]["message"].startswith("server default ")
    await eventually(lambda: proxy.alive() == 0)


async def test_a_session_deleted_in_mid_call_ends_the_stream_of_its_answer(proxy: Running) -> None:
    client = await proxy.opened()
    async with client.stream(client.tool("hang")) as waiting:
        assert waiting.response.headers["content-type"] == "text/event-stream"
        assert (await client.delete()).status_code == 200
        with pytest.raises(EOFError):
            await waiting.message()


async def test_an_idle_session_is_closed_with_its_child(start: Start, eventually: Eventually) -> None:
    proxy = await start(idle_timeout=2.0)
    client = await proxy.opened()
    await eventually(lambda: proxy.alive() == 0)
    assert (await client.post(PING)).status_code == 404


async def test_a_listening_session_is_not_idle(start: Start) -> None:
    proxy = await start(idle_timeout=2.0)  # which a busy machine takes to open the stream, too
    client = await proxy.opened()
    async with client.listen():
        await asyncio.sleep(3.0)
        assert (await client.post(PING)).status_code == 200


async def test_sessions_are_bounded(start: Start) -> None:
    proxy = await start(max_sessions=1, wait=2)
    await proxy.opened()
    response = await proxy.client().post(proxy.client().initialization())
    assert response.status_code == 503
    assert response.headers["retry-after"] == "2"


async def test_a_client_that_leaves_during_initialize_leaves_nothing(
    start: Start, eventually: Eventually
) -> None:
    proxy = await start(command=("sleep", "60"))
    client = proxy.client()
    waiting = asyncio.create_task(client.post(client.initialization()))
    await eventually(lambda: proxy.alive() == 1)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await eventually(lambda: proxy.alive() == 0)
