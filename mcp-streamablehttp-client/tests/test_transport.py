"""The transport's rules one by one, against servers scripted to break or demand them."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from mcp_streamablehttp_client.conversation import conversation
from mcp_streamablehttp_client.http1 import HttpClient
from mcp_streamablehttp_client.settings import Settings
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from .support import JsonRpc, Run, Serve, StartBridge

Handler = Callable[[Request, JsonRpc], Awaitable[Response]]
MODERN = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}


class Script:
    """An ASGI app that records what arrives and answers by a function of the test."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.arrived = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        body = await request.body()
        self.requests.append((request.method, dict(request.headers), body))
        message = json.loads(body) if body else None
        response = await self.handler(request, message)
        await response(scope, receive, send)

    def headers(self, method: str) -> dict[str, str]:
        """Of the first POST of this JSON-RPC method."""
        return next(h for v, h, b in self.requests if v == "POST" and json.loads(b).get("method") == method)

    def methods(self) -> list[str]:
        return [json.loads(b).get("method", "answer") if v == "POST" else v for v, _, b in self.requests]


def result(message: JsonRpc, value: Any, **headers: str) -> Response:
    return JSONResponse({"jsonrpc": "2.0", "id": message["id"], "result": value}, headers=headers)


def opened(message: JsonRpc, session: str | None = "s1", version: str = "2025-11-25") -> Response:
    info = {"protocolVersion": version, "capabilities": {}, "serverInfo": {"name": "x", "version": "1"}}
    return result(message, info, **({"Mcp-Session-Id": session} if session else {}))


def events(*parts: str | float) -> StreamingResponse:
    async def body() -> AsyncIterator[str]:
        for part in parts:
            if isinstance(part, str):
                yield part
            else:
                await asyncio.sleep(part)

    return StreamingResponse(body(), media_type="text/event-stream")


async def legacy(request: Request, message: JsonRpc) -> Response | None:
    """The usual answers of a handshake-era server; None where the test decides."""
    if request.method == "GET":
        return Response(status_code=405)
    if request.method == "DELETE":
        return Response(status_code=200)
    if message.get("method") == "initialize":
        return opened(message)
    if "id" not in message or "method" not in message:
        return Response(status_code=202)
    return None


async def test_session_and_version_are_sent_as_negotiated_and_the_session_is_deleted(
    serve: Serve, bridge: StartBridge
) -> None:
    async def handler(request: Request, message: JsonRpc) -> Response:
        if message and message.get("method") == "initialize":
            return opened(message, "abc", "2025-06-18")
        return await legacy(request, message) or result(message, {"tools": []})

    script = Script(handler)
    host = await bridge(serve(script) + "/mcp")
    await host.handshake()
    host.request(1, "tools/list")
    await host.answer(1)
    await host.close()
    first = script.headers("initialize")
    assert "mcp-session-id" not in first
    assert "mcp-protocol-version" not in first
    assert set(first["accept"].split(", ")) == {"application/json", "text/event-stream"}
    later = script.headers("tools/list")
    assert (later["mcp-session-id"], later["mcp-protocol-version"]) == ("abc", "2025-06-18")
    verb, headers, _ = script.requests[-1]
    assert (verb, headers["mcp-session-id"]) == ("DELETE", "abc")


async def test_bytes_pass_unchanged_both_ways(serve: Serve, bridge: StartBridge) -> None:
    answer = (
        b'{ "jsonrpc":"2.0", "id":7, "result":{"x-new": 1.50, "b":1e3, "u":"\\u00e9\xc3\xa9"}, "extra":[1] }'
    )

    async def handler(request: Request, message: JsonRpc) -> Response:
        return await legacy(request, message) or Response(answer, media_type="application/json")

    script = Script(handler)
    host = await bridge(serve(script) + "/mcp")
    await host.handshake()
    question = b'{"id":7,  "method":"x/unknown","jsonrpc":"2.0","params":{"n":1.0,"z":{}},"member":null}'
    host.send(question)
    assert await host.line() == answer + b"\n"
    assert question in [body for _, _, body in script.requests]


async def test_an_answer_on_several_lines_becomes_one(serve: Serve, bridge: StartBridge) -> None:
    async def handler(request: Request, message: JsonRpc) -> Response:
        pretty = json.dumps({"jsonrpc": "2.0", "id": 1, "result": {"text": "a\nb"}}, indent=2)
        return await legacy(request, message) or Response(pretty, media_type="application/json")

    host = await bridge(serve(Script(handler)) + "/mcp")
    await host.handshake()
    host.request(1, "x")
    assert (await host.answer(1))["result"] == {"text": "a\nb"}


@pytest.mark.parametrize("form", ["json", "events"])
async def test_five_megabytes_pass_both_ways(form: str, serve: Serve, bridge: StartBridge) -> None:
    async def handler(request: Request, message: JsonRpc) -> Response:
        if usual := await legacy(request, message):
            return usual
        answer = result(message, message["params"])
        return answer if form == "json" else events(f"data: {bytes(answer.body).decode()}\n\n")

    host = await bridge(serve(Script(handler)) + "/mcp")
    await host.handshake()
    text = "äöü\n" * 1_000_000
    host.request(1, "x", {"text": text})
    assert (await host.answer(1))["result"]["text"] == text


async def test_events_are_handed_over_as_they_arrive(serve: Serve, bridge: StartBridge) -> None:
    release = asyncio.Event()

    async def handler(request: Request, message: JsonRpc) -> Response:
        if usual := await legacy(request, message):
            return usual

        async def body() -> AsyncIterator[bytes]:
            note = '{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"ü"}}'
            for byte in f": hello\n\ndata: {note}\r\n\r\n".encode():
                yield bytes([byte])
            while not release.is_set():
                await asyncio.sleep(0.01)
            yield b'event: message\ndata: {"jsonrpc":"2.0",\ndata: "id":1,"result":{}}\n\n'

        return StreamingResponse(body(), media_type="text/event-stream")

    host = await bridge(serve(Script(handler)) + "/mcp")
    await host.handshake()
    host.request(1, "x")
    assert (await host.message())["params"] == {"data": "ü"}
    release.set()
    assert (await host.message()) == {"jsonrpc": "2.0", "id": 1, "result": {}}


async def test_the_servers_own_stream_is_read_and_resumed(serve: Serve, bridge: StartBridge) -> None:
    gets: list[str | None] = []

    async def handler(request: Request, message: JsonRpc) -> Response:
        if request.method == "GET":
            gets.append(request.headers.get("last-event-id"))
            number = len(gets)
            note = {"jsonrpc": "2.0", "method": "notifications/x", "params": {"n": number}}
            tail = 30.0 if number == 3 else 0.0
            return events(f"id: e{number}\nretry: 10\ndata: {json.dumps(note)}\n\n", tail)
        return await legacy(request, message) or result(message, {})

    host = await bridge(serve(Script(handler)) + "/mcp")
    await host.handshake()
    assert [(await host.message())["params"]["n"] for _ in range(3)] == [1, 2, 3]
    assert gets == [None, "e1", "e2"]


async def test_the_servers_own_stream_is_asked_for_before_the_first_call(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server could otherwise take it for a resumption (SEP-1699) and find it too early."""

    async def handler(request: Request, message: JsonRpc) -> Response:
        if request.method == "GET":
            return events(": open\n\n", 30.0)
        return await legacy(request, message) or result(message, {"tools": []})

    async def slow_to_connect(self: HttpClient, method: str, *args: Any, **options: Any) -> Any:
        if method == "GET":
            await asyncio.sleep(0.2)
        return await request(self, method, *args, **options)

    request = HttpClient.request
    monkeypatch.setattr(HttpClient, "request", slow_to_connect)
    script = Script(handler)
    settings = Settings(server_url=serve(script) + "/mcp", protocol="2025-11-25")
    async with conversation(settings) as server:
        await server.list("tools")
    assert script.methods()[:4] == ["initialize", "notifications/initialized", "GET", "tools/list"]


@pytest.mark.parametrize("event_id", ["e1", "Ereignis-ä€"])
async def test_a_broken_answer_is_resumed_with_last_event_id(
    serve: Serve, bridge: StartBridge, event_id: str
) -> None:
    resumed: list[str] = []

    async def handler(request: Request, message: JsonRpc) -> Response:
        if request.method == "GET" and "last-event-id" in request.headers:
            resumed.append(request.headers["last-event-id"].encode("latin-1").decode())
            return events('id: e2\ndata: {"jsonrpc":"2.0","id":1,"result":{"ok":true}}\n\n', 30.0)
        if usual := await legacy(request, message):
            return usual
        return events(f"id: {event_id}\nretry: 10\ndata:\n\n")

    host = await bridge(serve(Script(handler)) + "/mcp")
    await host.handshake()
    host.request(1, "tools/call", {"name": "x"})
    assert (await host.answer(1))["result"] == {"ok": True}
    assert resumed == [event_id]


async def test_an_answer_lost_for_good_is_an_error(serve: Serve, bridge: StartBridge) -> None:
    async def handler(request: Request, message: JsonRpc) -> Response:
        return await legacy(request, message) or events(": nothing\n\n")

    host = await bridge(serve(Script(handler)) + "/mcp")
    await host.handshake()
    host.request(1, "x")
    assert "without a result" in (await host.answer(1))["error"]["message"]


async def test_a_lost_session_is_opened_again_and_the_message_replayed(
    serve: Serve, bridge: StartBridge
) -> None:
    live = ["s1"]

    async def handler(request: Request, message: JsonRpc) -> Response:
        if message and message.get("method") == "initialize":
            return opened(message, live[0])
        if request.headers.get("mcp-session-id") != live[0]:
            return Response(status_code=404)
        return await legacy(request, message) or result(message, {"session": live[0]})

    script = Script(handler)
    host = await bridge(serve(script) + "/mcp")
    await host.handshake()
    live[0] = "s2"
    for identifier in range(3):
        host.request(identifier, "x")
    answers = [await host.message() for _ in range(3)]
    assert [answer["result"] for answer in answers] == [{"session": "s2"}] * 3
    assert script.methods().count("initialize") == 2
    assert script.methods().count("notifications/initialized") == 2


async def test_a_server_that_forgets_every_session_is_not_asked_for_ever(
    serve: Serve, bridge: StartBridge
) -> None:
    async def handler(request: Request, message: JsonRpc) -> Response:
        if message and message.get("method") in ("initialize", "notifications/initialized"):
            return opened(message) if "id" in message else Response(status_code=202)
        return Response(status_code=404)

    script = Script(handler)
    host = await bridge(serve(script) + "/mcp")
    await host.handshake()
    host.request(1, "x")
    assert "404" in (await host.answer(1))["error"]["message"]
    assert script.methods().count("x") == 2


@pytest.mark.parametrize(
    ("response", "text"),
    [
        (PlainTextResponse("<h1>Bad Gateway</h1>", 502), "502"),
        (PlainTextResponse("nothing", 404), "no MCP server"),
        (Response("<html>", media_type="text/html"), "instead of JSON"),
        (Response(status_code=202), "without a result"),
    ],
)
async def test_http_failures_are_explained_to_the_host(
    response: Response, text: str, serve: Serve, bridge: StartBridge
) -> None:
    async def handler(request: Request, message: JsonRpc) -> Response:
        return response

    host = await bridge(serve(Script(handler)) + "/mcp")
    host.request(1, "tools/list")
    assert text in (await host.answer(1))["error"]["message"]


async def test_the_servers_own_error_is_passed_on_with_the_requests_id(
    serve: Serve, bridge: StartBridge
) -> None:
    async def handler(request: Request, message: JsonRpc) -> Response:
        error = {"code": -32022, "message": "no", "data": {"supported": ["2026-07-28"]}}
        return JSONResponse({"jsonrpc": "2.0", "id": None, "error": error}, 400)

    host = await bridge(serve(Script(handler)) + "/mcp")
    host.request(5, "initialize")
    answer = await host.answer(5)
    assert answer["error"]["code"] == -32022
    assert answer["error"]["data"] == {"supported": ["2026-07-28"]}


async def test_silence_ends_after_the_timeout(serve: Serve, bridge: StartBridge) -> None:
    async def handler(request: Request, message: JsonRpc) -> Response:
        return await legacy(request, message) or events(": alive\n\n", 60.0)

    host = await bridge(serve(Script(handler)) + "/mcp", "--timeout", "0.3")
    await host.handshake()
    host.request(1, "x")
    assert "--timeout" in (await host.answer(1))["error"]["message"]


async def test_credentials_do_not_follow_a_redirect_to_another_host(
    serve: Serve, bridge: StartBridge
) -> None:
    elsewhere = Script(lambda *_: _never())

    async def never(request: Request, message: JsonRpc) -> Response:
        return Response()

    elsewhere.handler = never
    other = serve(elsewhere)

    async def handler(request: Request, message: JsonRpc) -> Response:
        return Response(status_code=307, headers={"Location": f"{other}/mcp"})

    host = await bridge(serve(Script(handler)) + "/mcp", "--header", "Authorization: Bearer x")
    host.request(1, "initialize")
    assert "redirects to another host" in (await host.answer(1))["error"]["message"]
    assert elsewhere.requests == []


async def _never() -> Response:
    raise AssertionError


async def test_a_redirect_on_the_same_host_is_followed(serve: Serve, bridge: StartBridge) -> None:
    async def handler(request: Request, message: JsonRpc) -> Response:
        if request.url.path == "/mcp":
            return Response(status_code=308, headers={"Location": "/mcp/"})
        return opened(message)

    host = await bridge(serve(Script(handler)) + "/mcp")
    host.request(1, "initialize")
    assert "result" in await host.answer(1)


async def test_headers_from_option_and_file_reach_the_server(
    serve: Serve, bridge: StartBridge, tmp_path: Path
) -> None:
    async def handler(request: Request, message: JsonRpc) -> Response:
        return opened(message)

    script = Script(handler)
    file = tmp_path / "headers"
    file.write_text("# secret\n\nAuthorization: Bearer from-a-file\n")
    host = await bridge(serve(script) + "/mcp", "--header", "X-Team: a", "--header-file", str(file))
    host.request(1, "initialize")
    await host.answer(1)
    headers = script.headers("initialize")
    assert (headers["x-team"], headers["authorization"]) == ("a", "Bearer from-a-file")


async def test_headers_from_the_environment_reach_the_server_and_no_log(
    serve: Serve, bridge: StartBridge
) -> None:
    """`MCP_HEADER` holds one a line, as `--header` repeated does; also where the server fails."""

    async def handler(request: Request, message: JsonRpc) -> Response:
        return opened(message) if message["method"] == "initialize" else Response(status_code=500)

    script = Script(handler)
    env = {"MCP_HEADER": "Authorization: Bearer s3cret-1\r\n\nX-Key: s3cret-2, 3: 4\n"}
    host = await bridge(serve(script) + "/mcp", "--verbose", env=env)
    await host.handshake()
    host.request(1, "tools/list")
    assert "error" in await host.answer(1)
    headers = script.headers("initialize")
    assert (headers["authorization"], headers["x-key"]) == ("Bearer s3cret-1", "s3cret-2, 3: 4")
    _, said = await host.close()
    assert said
    assert "s3cret" not in said + b"".join(host.lines).decode()


@pytest.mark.parametrize(
    "value", ["Bearer s3cret", "X: s3cret\x07", "Mcp-Session-Id: s3cret", "s3cret\nX: a"]
)
async def test_a_wrong_header_in_the_environment_is_not_repeated(value: str, run: Run) -> None:
    finished = await run("tools", "http://127.0.0.1:9/mcp", env={"MCP_HEADER": value})
    assert finished.status == 2
    assert "--header" in finished.stderr
    assert "s3cret" not in finished.stdout + finished.stderr


async def test_the_log_has_the_cause_of_what_a_person_is_told(run: Run) -> None:
    """With --verbose: the kind of each error behind the sentence and its place, never its text."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/mcp"
        finished = await run("tools", url, "--verbose")
        quiet = await run("tools", url)
    assert "ConnectionRefusedError in " in finished.stderr
    assert len(quiet.stderr.splitlines()) == 1


# --- 2026-07-28 ---


async def test_a_modern_request_is_mirrored_into_headers(serve: Serve, bridge: StartBridge) -> None:
    async def handler(request: Request, message: JsonRpc) -> Response:
        if message["method"] != "tools/list":
            return result(message, {"resultType": "complete", "content": []})
        schema = {
            "type": "object",
            "properties": {
                "region": {"type": "string", "x-mcp-header": "Region"},
                "deep": {"type": "object", "properties": {"n": {"type": "integer", "x-mcp-header": "N"}}},
                "on": {"type": "boolean", "x-mcp-header": "On"},
                "none": {"type": "string", "x-mcp-header": "None"},
            },
        }
        bad = {"type": "object", "properties": {"x": {"type": "number", "x-mcp-header": "X"}}}
        tools = [{"name": "tool", "inputSchema": schema}, {"name": "bad", "inputSchema": bad}]
        return result(message, {"tools": tools, "resultType": "complete"})

    script = Script(handler)
    host = await bridge(serve(script) + "/mcp")
    host.request(1, "tools/list", {"_meta": MODERN})
    listed = await host.answer(1)
    assert [tool["name"] for tool in listed["result"]["tools"]] == ["tool"]
    arguments = {"region": " ünder", "deep": {"n": 42}, "on": True, "none": None}
    host.request(2, "tools/call", {"name": "tool", "arguments": arguments, "_meta": MODERN})
    await host.answer(2)
    headers = script.headers("tools/call")
    assert headers["mcp-protocol-version"] == "2026-07-28"
    assert (headers["mcp-method"], headers["mcp-name"]) == ("tools/call", "tool")
    encoded = base64.b64encode(" ünder".encode()).decode()
    assert headers["mcp-param-region"] == f"=?base64?{encoded}?="
    assert (headers["mcp-param-n"], headers["mcp-param-on"]) == ("42", "true")
    assert "mcp-param-none" not in headers
    assert "mcp-session-id" not in headers


async def test_a_header_mismatch_is_cured_by_listing_the_tools_again(
    serve: Serve, bridge: StartBridge
) -> None:
    async def handler(request: Request, message: JsonRpc) -> Response:
        if message["method"] == "tools/list":
            schema = {"type": "object", "properties": {"a": {"type": "string", "x-mcp-header": "A"}}}
            if message["params"].get("cursor") is None:
                return result(message, {"tools": [], "nextCursor": "2"})
            return result(message, {"tools": [{"name": "t", "inputSchema": schema}]})
        if request.headers.get("mcp-param-a") != "1":
            error = {"code": -32020, "message": "mismatch"}
            return JSONResponse({"jsonrpc": "2.0", "id": message["id"], "error": error}, 400)
        return result(message, {"content": []})

    script = Script(handler)
    host = await bridge(serve(script) + "/mcp")
    host.request(1, "tools/call", {"name": "t", "arguments": {"a": "1"}, "_meta": MODERN})
    assert "result" in await host.answer(1)
    assert script.methods() == ["tools/call", "tools/list", "tools/list", "tools/call"]


async def test_cancelling_a_modern_request_closes_its_stream_and_sends_nothing(
    serve: Serve, bridge: StartBridge
) -> None:
    closed = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def handler(request: Request, message: JsonRpc) -> Response:
        async def body() -> AsyncIterator[str]:
            try:
                yield 'data: {"jsonrpc":"2.0","method":"notifications/progress","params":{}}\n\n'
                await asyncio.sleep(60)
            finally:
                loop.call_soon_threadsafe(closed.set)

        return StreamingResponse(body(), media_type="text/event-stream")

    script = Script(handler)
    host = await bridge(serve(script) + "/mcp")
    host.request(1, "tools/call", {"name": "t", "_meta": MODERN})
    await host.message()
    host.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}})
    await asyncio.wait_for(closed.wait(), 90)
    status, _ = await host.close()
    assert status == 0
    assert script.methods() == ["tools/call"]
    assert len(host.lines) == 1


async def test_cancelling_a_handshake_era_request_is_a_notification(
    serve: Serve, bridge: StartBridge
) -> None:
    cancelled = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def handler(request: Request, message: JsonRpc) -> Response:
        if message and message.get("method") == "notifications/cancelled":
            loop.call_soon_threadsafe(cancelled.set)
        return await legacy(request, message) or events(": waiting\n\n", 1.0)

    script = Script(handler)
    host = await bridge(serve(script) + "/mcp")
    await host.handshake()
    host.request(1, "tools/call", {"name": "t"})
    host.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}})
    await asyncio.wait_for(cancelled.wait(), 90)


async def test_many_calls_at_once_share_few_connections(serve: Serve, bridge: StartBridge) -> None:
    callers = set()

    async def handler(request: Request, message: JsonRpc) -> Response:
        if (usual := await legacy(request, message)) is not None:
            return usual
        assert request.client is not None
        callers.add(request.client.port)
        return result(message, {})

    host = await bridge(serve(Script(handler)))
    await host.handshake()
    for number in range(400):
        host.request(f"c{number}", "tools/list")
    assert {(await host.message())["id"] for _ in range(400)} == {f"c{number}" for number in range(400)}
    assert len(callers) < 200


async def test_calls_that_wait_for_each_other_all_get_through(serve: Serve, bridge: StartBridge) -> None:
    arrived: list[str] = []
    complete = asyncio.Event()

    async def handler(request: Request, message: JsonRpc) -> Response:
        if (usual := await legacy(request, message)) is not None:
            return usual
        arrived.append(message["id"])
        if len(arrived) == 100:
            complete.set()
        await complete.wait()
        return result(message, {})

    host = await bridge(serve(Script(handler)))
    await host.handshake()
    for number in range(100):
        host.request(f"c{number}", "tools/list")
    answers = [await host.message() for _ in range(100)]
    assert all("result" in answer for answer in answers)
