"""What a remote server may do to a request, and what its client is told."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest
from mcp_streamablehttp_proxy.logs import hush
from mcp_streamablehttp_proxy.remote import streamable_http
from mcp_streamablehttp_proxy.settings import RemoteServer

from ..support import Client, Eventually, Mount, Running, Start, read
from .elsewhere import INITIALIZED, Asked, Scripted, said


def remote(port: int, **options: object) -> RemoteServer:
    made: RemoteServer = RemoteServer(name="it", url=f"http://127.0.0.1:{port}/mcp?key=s3cret", **options)  # type: ignore[arg-type]
    return made


async def opened(running: Running, **headers: str) -> Client:
    client = running.client("/it/mcp", **headers)
    await client.initialize()
    return client


async def test_a_call_whose_connection_breaks_is_never_sent_twice(start: Start, mount: Mount) -> None:
    async def cut(asked: Asked) -> None:
        await asked.start(200, content_type="application/json", content_length="100")
        await asked.more(b'{"jsonrpc"', last=False)
        raise ConnectionResetError

    server = Scripted({"tools/call": cut})
    async with mount(server) as elsewhere:
        client = await opened(await start(remote(elsewhere.port)))
        answer = await client.post(client.tool("pay"))
        assert "is not known; it was not sent again" in said(answer)
        assert len(server.asked("tools/call")) == 1


async def test_a_session_that_the_server_ended_ends_here(
    start: Start, mount: Mount, eventually: Eventually
) -> None:
    async def ended(asked: Asked) -> None:
        await asked.text("Session not found", 404)

    server = Scripted({"tools/call": ended})
    async with mount(server) as elsewhere:
        running = await start(remote(elsewhere.port))
        client = await opened(running)
        assert "has ended the session" in (await client.post(client.tool("x"))).text
        assert (await client.post(client.tool("x"))).status_code == 404
        assert len(server.asked("tools/call")) == 1
        del server.answers["tools/call"]
        again = await opened(running)
        assert await again.call("x") == "done"


@pytest.mark.parametrize(
    ("status", "headers", "sentence"),
    [
        (
            401,
            {},
            "it answered 401: go away; it does not take the credentials in headers of its entry",
        ),
        (403, {}, "does not take the credentials"),
        (429, {"retry-after": "7"}, "answered 429: go away; try again in 7 s"),
        (503, {}, "try again later"),
        (500, {}, "server it answered 500: go away"),
        (307, {"location": "https://other.example/mcp?a=b"}, "redirect to https://other.example/mcp: write"),
    ],
)
async def test_a_refusal_is_told_in_one_sentence(
    status: int, headers: dict[str, str], sentence: str, start: Start, mount: Mount
) -> None:
    async def refuse(asked: Asked) -> None:
        await asked.text("go away", status, **headers)

    server = Scripted({"tools/call": refuse})
    async with mount(server) as elsewhere:
        client = await opened(await start(remote(elsewhere.port)))
        assert sentence in said(await client.post(client.tool("x")))
        assert len(server.asked("tools/call")) == 1


async def test_an_error_response_comes_through_whatever_its_status(start: Start, mount: Mount) -> None:
    async def refuse(asked: Asked) -> None:
        error = {"code": -32602, "message": "no", "data": {"a": 1}}
        await asked.json({"jsonrpc": "2.0", "id": None, "error": error}, 400)

    async with mount(Scripted({"tools/call": refuse})) as elsewhere:
        client = await opened(await start(remote(elsewhere.port)))
        answer = await client.post(client.tool("x"))
        assert answer.json()["error"] == {"code": -32602, "message": "no", "data": {"a": 1}}


async def test_what_is_no_json_is_said_so(start: Start, mount: Mount) -> None:
    async def page(asked: Asked) -> None:
        await asked.start(200, content_type="text/html")
        await asked.more(b"<html>welcome", last=True)

    async with mount(Scripted({"tools/call": page})) as elsewhere:
        client = await opened(await start(remote(elsewhere.port)))
        assert "answered with text/html in place of JSON" in said(await client.post(client.tool("x")))


@pytest.mark.parametrize("kind", ["application/json", "text/event-stream"])
async def test_an_answer_over_the_cap_is_an_error(kind: str, start: Start, mount: Mount) -> None:
    async def long(asked: Asked) -> None:
        await asked.start(200, content_type=kind)
        await asked.more(b"data: " + b"x" * 20_000, last=True)

    async with mount(Scripted({"tools/call": long})) as elsewhere:
        client = await opened(await start(remote(elsewhere.port, max_line=10_000)))
        assert "more than 10000 bytes" in said(await client.post(client.tool("x")))


@pytest.mark.parametrize("event_id", ["e1", "Ereignis-ä€"])
async def test_a_stream_that_breaks_is_taken_up_where_it_broke(
    event_id: str, start: Start, mount: Mount
) -> None:
    last: list[str] = []

    async def begin(asked: Asked) -> None:
        await asked.events()
        await asked.more(f"id: {event_id}\nretry: 1\ndata:\n\n".encode(), last=True)

    async def rest(asked: Asked) -> None:
        if "last-event-id" not in asked.headers:
            await asked.text("", 405)
            return
        last.append(asked.headers["last-event-id"])
        id_ = server.asked("tools/call")[0].body["id"]
        await asked.events()
        result = '{"content":[{"type":"text","text":"late"}]}'
        await asked.more(f'data: {{"jsonrpc":"2.0","id":{id_},"result":{result}}}\n\n'.encode(), last=True)

    server = Scripted({"tools/call": begin, "GET": rest})
    async with mount(server) as elsewhere:
        client = await opened(await start(remote(elsewhere.port)))
        assert await client.call("x") == "late"
        assert last == [event_id]
        assert len(server.asked("tools/call")) == 1


async def test_nobody_elses_credentials_go_there_and_its_own_stay_secret(
    start: Start, mount: Mount, caplog: pytest.LogCaptureFixture
) -> None:
    async def refuse(asked: Asked) -> None:
        await asked.text("invalid key t0psecret", 401)

    caplog.set_level(logging.DEBUG)
    hush()
    server = Scripted({"ping": refuse})
    async with mount(server) as elsewhere:
        target = remote(elsewhere.port, headers={"Authorization": "Bearer t0psecret", "X-Team": "a"})
        running = await start(target)
        client = await opened(
            running, authorization="Bearer callers", cookie="a=callers", x_user_id="callers"
        )
        assert await client.call("x") == "done"
        refused = await client.post({"jsonrpc": "2.0", "id": 9, "method": "ping"})
        for asked in server.seen:
            assert asked.headers["authorization"] == "Bearer t0psecret"
            assert asked.headers["x-team"] == "a"
            assert "callers" not in str(asked.headers)
        health = await running.http.get("/health")
    records = [record for record in caplog.records if "uvicorn" not in record.name]
    ours = [record.getMessage() + str(vars(record)) for record in records]
    assert ours
    for text in (refused.text, health.text, repr(target), *ours):
        assert "t0psecret" not in text
        assert "s3cret" not in text


async def test_a_stream_refused_for_now_is_asked_for_again(start: Start, mount: Mount) -> None:
    again = asyncio.Event()

    async def restarting(asked: Asked) -> None:
        if len([one for one in server.seen if one.method == "GET"]) > 1:
            again.set()
        await asked.text("bad gateway", 502)

    server = Scripted({"GET": restarting})
    async with mount(server) as elsewhere:
        client = await opened(await start(remote(elsewhere.port)))
        assert await client.call("x") == "done"
        async with asyncio.timeout(90):
            await again.wait()


async def test_headers_of_an_entry_may_have_any_latin_1(start: Start, mount: Mount) -> None:
    async with mount(server := Scripted()) as elsewhere:
        client = await opened(await start(remote(elsewhere.port, headers={"X-Team": "caf\xe9"})))
        assert await client.call("x") == "done"
    assert {asked.headers["x-team"].encode(errors="surrogateescape") for asked in server.seen} == {b"caf\xe9"}


async def test_a_cancelled_call_is_cancelled_there(start: Start, mount: Mount) -> None:
    async def hang(asked: Asked) -> None:
        await asked.gone()

    server = Scripted({"tools/call": hang})
    async with mount(server) as elsewhere:
        client = await opened(await start(remote(elsewhere.port)))
        call = asyncio.create_task(client.post(client.tool("x")))
        while not server.asked("tools/call"):
            await asyncio.sleep(0.01)
        cancelled = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
        assert (await client.post(cancelled)).status_code == 202
        while not server.asked("notifications/cancelled"):
            await asyncio.sleep(0.01)
        [told], [asked] = server.asked("notifications/cancelled"), server.asked("tools/call")
        assert told.body["params"]["requestId"] == asked.body["id"]
        call.cancel()


async def test_the_session_is_ended_there_when_it_ends_here(start: Start, mount: Mount) -> None:
    server = Scripted()
    async with mount(server) as elsewhere:
        client = await opened(await start(remote(elsewhere.port)))
        await client.delete()
        while not server.asked("DELETE"):
            await asyncio.sleep(0.01)
        assert server.asked("DELETE")[0].headers["mcp-session-id"] == "s1"
        assert server.asked("notifications/initialized")[0].headers["mcp-protocol-version"] == "2025-11-25"


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        (b"http://127.0.0.2:1/messages", "wants its messages sent to another host"),
        (b"http://[::1/messages", "wants its messages sent to what is no address"),
    ],
)
async def test_an_older_server_may_not_send_messages_elsewhere(
    start: Start, mount: Mount, place: bytes, reason: str
) -> None:
    async def stream(asked: Asked) -> None:
        await asked.events()
        await asked.more(b"event: endpoint\ndata: " + place + b"\n\n")
        await asked.gone()

    async def refuse(asked: Asked) -> None:
        await asked.text("only GET", 405)

    server = Scripted({"POST": refuse, "initialize": refuse, "server/discover": refuse, "GET": stream})
    async with mount(server) as elsewhere:
        running = await start(remote(elsewhere.port, transport="sse"))
        answer = await running.client("/it/mcp").post(Client.initialization())
        assert reason in said(answer)


async def test_the_streams_of_a_server_end_with_the_session(start: Start, mount: Mount) -> None:
    closed = asyncio.Event()

    async def stream(asked: Asked) -> None:
        await asked.events()
        await asked.more(b'data: {"jsonrpc":"2.0","method":"notifications/tools/list_changed"}\n\n')
        await asked.gone()
        closed.set()

    server = Scripted({"GET": stream})
    async with mount(server) as elsewhere:
        client = await opened(await start(remote(elsewhere.port)))
        async with client.listen() as events:
            assert (await events.message())["method"] == "notifications/tools/list_changed"
        await client.delete()
        await closed.wait()


async def test_a_question_before_the_answer_to_initialize_is_answered(start: Start, mount: Mount) -> None:
    """A `ping` is allowed there (MCP 2025-11-25, Lifecycle), and the server may wait for the answer."""
    answered = asyncio.Event()

    async def ask_first(asked: Asked) -> None:
        await asked.start(200, **{"content-type": "text/event-stream", "mcp-session-id": "s1"})
        await asked.more(b'data: {"jsonrpc":"2.0","id":"p1","method":"ping"}\n\n')
        await answered.wait()
        answer = {"jsonrpc": "2.0", "id": asked.body["id"], "result": INITIALIZED}
        await asked.more(f"data: {json.dumps(answer)}\n\n".encode(), last=True)

    async def take(asked: Asked) -> None:
        if asked.body.get("id") == "p1":
            assert asked.body["result"] == {}
            assert asked.headers["mcp-session-id"] == "s1"
            answered.set()
        await asked.text("", 202)

    async with mount(Scripted({"initialize": ask_first, "POST": take})) as elsewhere:
        client = (await start(remote(elsewhere.port))).client("/it/mcp")
        initializing = asyncio.create_task(client.post(Client.initialization()))
        async with asyncio.timeout(60):
            await answered.wait()
        assert read(await initializing)[-1]["result"]["serverInfo"]["name"] == "scripted"


@pytest.mark.parametrize("kind", ["application/json", "text/event-stream"])
async def test_an_answer_in_a_batch_is_an_answer(
    kind: str, start: Start, mount: Mount, caplog: pytest.LogCaptureFixture
) -> None:
    async def batch(asked: Asked) -> None:
        note = {"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": 1}}
        result = {"content": [{"type": "text", "text": "done"}]}
        body = json.dumps([note, {"jsonrpc": "2.0", "id": asked.body["id"], "result": result}])
        await asked.start(200, **{"content-type": kind})
        await asked.more((body if kind == "application/json" else f"data: {body}\n\n").encode(), last=True)

    async with mount(Scripted({"tools/call": batch})) as elsewhere:
        client = await opened(await start(remote(elsewhere.port)))
        caplog.clear()
        assert await client.call("x") == "done"
        assert "ended its stream before the answer" not in str([vars(one) for one in caplog.records])


async def test_the_sessions_stream_is_open_before_the_first_request(
    start: Start, mount: Mount, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server may ask there while it answers, and loses what it asks when nobody listens yet."""
    monkeypatch.setattr(streamable_http, "_STREAM_WITHIN", 60.0)  # however busy this machine is
    order: list[str] = []

    async def stream(asked: Asked) -> None:
        order.append("stream")
        await asked.events()
        await asked.gone()

    async def called(asked: Asked) -> None:
        order.append("call")
        await asked.result({"content": [{"type": "text", "text": "done"}]})

    async with mount(Scripted({"GET": stream, "tools/call": called})) as elsewhere:
        client = await opened(await start(remote(elsewhere.port)))
        assert await client.call("x") == "done"
        assert order == ["stream", "call"]
        await client.delete()


async def test_an_older_server_may_answer_before_it_accepts(start: Start, mount: Mount) -> None:
    """What follows its answer to `initialize` goes the older way, too."""
    answers: asyncio.Queue[bytes] = asyncio.Queue()

    async def stream(asked: Asked) -> None:
        await asked.events()
        await asked.more(b"event: endpoint\ndata: /messages\n\n")
        while True:
            await asked.more(b"data: %b\n\n" % await answers.get())

    async def take(asked: Asked) -> None:
        if "text/event-stream" in asked.headers["accept"]:
            await asked.text("only GET", 405)
            return
        if "id" in asked.body:
            result = INITIALIZED if asked.body["method"] == "initialize" else {"tools": []}
            answer = {"jsonrpc": "2.0", "id": asked.body["id"], "result": result}
            await answers.put(json.dumps(answer).encode())
            await asyncio.sleep(0.1)  # the answer is first, on most days
        await asked.text("", 202)

    server = Scripted({"GET": stream, "POST": take})
    async with mount(server) as elsewhere:
        client = await opened(await start(remote(elsewhere.port)))
        listed = await client.post({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
        assert read(listed)[-1]["result"] == {"tools": []}
        [told] = server.asked("notifications/initialized")
        assert told.headers["accept"] == "application/json"
        await client.delete()


async def test_an_older_server_may_ask_before_it_accepts(start: Start, mount: Mount) -> None:
    """It takes no message while it waits for the answer to its own `ping`."""
    events: asyncio.Queue[object] = asyncio.Queue()
    answered = asyncio.Event()

    async def stream(asked: Asked) -> None:
        await asked.events()
        await asked.more(b"event: endpoint\ndata: /messages\n\n")
        while True:
            await asked.more(f"data: {json.dumps(await events.get())}\n\n".encode())

    async def take(asked: Asked) -> None:
        if "text/event-stream" in asked.headers["accept"]:
            await asked.text("only GET", 405)
            return
        if asked.body.get("id") == "p1":
            answered.set()
        if asked.body.get("method") == "initialize":
            await events.put({"jsonrpc": "2.0", "id": "p1", "method": "ping"})
            await answered.wait()
            await events.put({"jsonrpc": "2.0", "id": asked.body["id"], "result": INITIALIZED})
        await asked.text("", 202)

    async with mount(Scripted({"GET": stream, "POST": take})) as elsewhere:
        running = await start(remote(elsewhere.port))
        client = await opened(running)
        await client.delete()
