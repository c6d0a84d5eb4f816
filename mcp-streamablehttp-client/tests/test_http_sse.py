"""HTTP+SSE (2024-11-05), against the SDK's own server and one that breaks."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator

import pytest
from mcp.server import MCPServer
from mcp_streamablehttp_client import at_most_once
from mcp_streamablehttp_client.oauth.authorizer import NoAuthorization
from mcp_streamablehttp_client.settings import Settings
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from .memory_host import bridged, running
from .support import Json, Serve


@pytest.fixture
def sdk_sse(serve: Serve) -> str:
    server = MCPServer("older")

    @server.tool()
    def add(a: int, b: int) -> int:
        return a + b

    return str(serve(server.sse_app())) + "/sse"


@pytest.mark.parametrize("protocol", [None, "sse"])
async def test_a_server_of_2024_is_found_and_spoken_to(protocol: str | None, sdk_sse: str) -> None:
    settings = Settings(sdk_sse, protocol=protocol)
    async with running(settings, NoAuthorization()) as host:
        assert (await host.handshake())["result"]["serverInfo"]["name"] == "older"
        answer = await host.ask(1, "tools/call", {"name": "add", "arguments": {"a": 1, "b": 2}})
        assert answer["result"]["structuredContent"] == {"result": 3}
        assert [tool["name"] for tool in (await host.ask(2, "tools/list"))["result"]["tools"]] == ["add"]


class Older:
    """A server of 2024-11-05 whose streams can be ended."""

    def __init__(self) -> None:
        self.executed: list[str] = []
        self.streams: list[asyncio.Queue[Json | None]] = []
        self.endpoint = "/messages?session={}"
        self.mute = False
        self.ended = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        await (await self.answer(request))(scope, receive, send)

    async def answer(self, request: Request) -> Response:
        if request.method == "GET":
            queue: asyncio.Queue[Json | None] = asyncio.Queue()
            self.streams.append(queue)
            return StreamingResponse(
                self.events(queue, len(self.streams) - 1), media_type="text/event-stream"
            )
        if request.url.path != "/messages":
            return PlainTextResponse("no", 405)
        message = await request.json()
        queue = self.streams[int(request.query_params["session"])]
        self.executed.append(message["method"])
        if message["method"] == "die":
            queue.put_nowait(None)
        elif "id" in message and not self.mute:
            queue.put_nowait({"jsonrpc": "2.0", "id": message["id"], "result": {"of": message["method"]}})
        return Response("Accepted", 202)

    async def events(self, queue: asyncio.Queue[Json | None], number: int) -> AsyncIterator[str]:
        yield f"event: endpoint\r\ndata: {self.endpoint.format(number)}\r\n\r\n"
        while (message := await queue.get()) is not None:
            yield f"event: message\ndata: {json.dumps(message)}\n\n"


async def test_a_stream_that_ends_costs_the_calls_on_it_and_no_more(serve: Serve) -> None:
    older = Older()
    async with bridged(serve(older) + "/sse") as host:
        assert "not known" in (await host.ask(1, "die"))["error"]["message"]
        assert (await host.ask(2, "tools/call"))["result"] == {"of": "tools/call"}
    assert older.executed == [
        *("initialize", "notifications/initialized", "die"),
        *("initialize", "notifications/initialized", "tools/call"),
    ]


async def test_silence_is_not_waited_for_for_ever(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(at_most_once, "PAUSES", ())
    older = Older()
    settings = Settings(serve(older) + "/sse", timeout=2.0)
    async with running(settings, NoAuthorization()) as host:
        await host.handshake()
        older.mute = True
        assert "sent nothing for 2 s" in (await host.ask(1, "tools/call"))["error"]["message"]
    assert older.executed.count("tools/call") == 1


async def test_messages_go_to_no_other_host(serve: Serve) -> None:
    older = Older()
    older.endpoint = "http://evil.example/messages?session={}"
    settings = Settings(serve(older) + "/sse", protocol="sse")
    async with running(settings, NoAuthorization()) as host:
        assert "another host" in (await host.handshake())["error"]["message"]
    assert older.executed == []
