"""In how many ways a server says that it does not speak an era: every status with every code."""

from __future__ import annotations

import json
from typing import Any

import pytest
from mcp_streamablehttp_client.oauth.authorizer import NoAuthorization
from mcp_streamablehttp_client.settings import Settings
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .memory_host import running
from .support import Json, JsonRpc, Serve
from .test_transport import MODERN, Script, events, opened, result

STATUSES = [200, 400, 404, 405, 406, 415, 422, 501]
CODES = [None, -32601, -32600, -32602, -32603, -32000, -32004, -32022]
WAYS = [(status, code) for status in STATUSES for code in CODES if status != 200 or code is not None]
META = {"_meta": MODERN | {"io.modelcontextprotocol/clientCapabilities": {}}}
DISCOVERED = {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, "resultType": "complete"}


class OneEra(Script):
    """Speaks one era, and refuses the other in the way it is told; without a session, so that nothing but
    its words tells."""

    def __init__(self, *, modern: bool) -> None:
        super().__init__(self.answer)
        self.modern = modern
        self.status = 400
        self.code: int | None = -32601
        self.as_events = False
        self.ran = 0

    async def answer(self, request: Request, message: JsonRpc) -> Response:
        if message is None:
            return Response(status_code=405)
        if (MODERN.items() <= message.get("params", {}).get("_meta", {}).items()) != self.modern:
            return self.refusal(message)
        match message["method"]:
            case "initialize":
                return opened(message, session=None)
            case "server/discover":
                return result(message, DISCOVERED)
            case "tools/list":
                return result(message, {"tools": [], "resultType": "complete"})
            case "tools/call":
                self.ran += 1
                return result(message, {"content": [], "resultType": "complete"})
        return Response(status_code=202)

    def refusal(self, message: Json) -> Response:
        if self.code is None:
            return Response("Not Found", self.status)
        supported = ["2026-07-28"] if self.modern else ["2025-11-25"]
        error = {"code": self.code, "message": "no", "data": {"supported": supported}}
        value = {"jsonrpc": "2.0", "id": message.get("id"), "error": error}
        if self.as_events:
            return events(f"data: {json.dumps(value)}\n\n")
        return JSONResponse(value, self.status)


async def modern_host(url: str, method: str, **params: Any) -> Json:
    async with running(Settings(url, timeout=60), NoAuthorization()) as host:
        return await host.ask(1, method, {**params, **META})


async def test_a_modern_host_before_a_handshake_server_whatever_its_refusal_looks_like(serve: Serve) -> None:
    server = OneEra(modern=False)
    url = serve(server) + "/mcp"
    for server.status, server.code in WAYS:
        answer = await modern_host(url, "server/discover")
        assert answer["result"]["supportedVersions"] == ["2026-07-28"], (server.status, server.code)


async def test_a_handshake_host_before_a_modern_server_whatever_its_refusal_looks_like(serve: Serve) -> None:
    server = OneEra(modern=True)
    url = serve(server) + "/mcp"
    for server.status, server.code in WAYS:
        async with running(Settings(url, timeout=60), NoAuthorization()) as host:
            assert "result" in await host.handshake(), (server.status, server.code)
            assert (await host.ask(1, "tools/list"))["result"] == {"tools": []}


@pytest.mark.parametrize("modern", [True, False])
async def test_a_refusal_in_a_stream_of_events_counts_as_well(modern: bool, serve: Serve) -> None:
    server = OneEra(modern=modern)
    server.as_events = True
    async with running(Settings(serve(server) + "/mcp", timeout=60), NoAuthorization()) as host:
        asked = host.handshake() if modern else host.ask(1, "server/discover", META)
        assert "result" in await asked


async def test_a_host_that_begins_with_another_request_has_its_server_asked(serve: Serve) -> None:
    """What may not be sent twice is sent a second time only where it cannot have run."""
    server = OneEra(modern=False)
    url = serve(server) + "/mcp"
    for server.status, server.code in WAYS:
        if server.code == -32603:
            continue  # something failed, which may be the tool
        assert "result" in await modern_host(url, "tools/list"), (server.status, server.code)
        server.ran = 0
        answer = await modern_host(url, "tools/call", name="t", arguments={})
        if server.status != 200 or server.code in (-32601, -32600):
            assert "result" in answer, (server.status, server.code)
            assert server.ran == 1
        else:
            assert answer["error"]["code"] == server.code
            assert server.ran == 0


@pytest.mark.parametrize(
    ("status", "code"), [(400, -32020), (400, -32021), (403, None), (429, None), (500, -32603), (503, None)]
)
async def test_a_refusal_for_another_reason_is_the_answer(
    status: int, code: int | None, serve: Serve
) -> None:
    server = OneEra(modern=False)
    server.status, server.code = status, code
    answer = await modern_host(serve(server) + "/mcp", "server/discover")
    assert answer["error"]["code"] == (-32603 if code is None else code)
    assert "initialize" not in server.methods()


async def test_a_modern_servers_refusal_of_something_else_is_the_answer(serve: Serve) -> None:
    """It is asked once, and its own words are passed on."""

    async def answer(request: Request, message: JsonRpc) -> Response:
        if message["method"] == "server/discover":
            return result(message, DISCOVERED)
        error = {"code": -32601, "message": "never heard of it"}
        return JSONResponse({"jsonrpc": "2.0", "id": message["id"], "error": error}, 404)

    server = Script(answer)
    async with running(Settings(serve(server) + "/mcp", timeout=60), NoAuthorization()) as host:
        for identifier in (1, 2):
            refused = await host.ask(identifier, "prompts/list", META)
            assert refused["error"]["message"] == "never heard of it"
    assert server.methods() == ["prompts/list", "server/discover", "prompts/list"]


async def test_a_server_that_discovers_itself_as_old_is_shaken_hands_with(serve: Serve) -> None:
    """Some answer `server/discover` and name only versions of the handshake."""

    async def answer(request: Request, message: JsonRpc) -> Response:
        if message is None:
            return Response(status_code=405)
        if message["method"] == "server/discover":
            return result(message, {"supportedVersions": ["2025-11-25"], "capabilities": {}})
        return opened(message) if message["method"] == "initialize" else Response(status_code=202)

    found = await modern_host(serve(Script(answer)) + "/mcp", "server/discover")
    assert found["result"]["supportedVersions"] == ["2026-07-28"]


async def test_another_requests_answer_in_this_ones_stream_confuses_nobody(serve: Serve) -> None:
    """A refusal of the second request, sent where the first one's answer belongs."""

    async def answer(request: Request, message: JsonRpc) -> Response:
        if message["method"] == "server/discover":
            foreign = {"jsonrpc": "2.0", "id": 2, "error": {"code": -32601, "message": "no"}}
            own = {"jsonrpc": "2.0", "id": 1, "result": DISCOVERED}
            return events(f"data: {json.dumps(foreign)}\n\n", f"data: {json.dumps(own)}\n\n")
        return events(60.0)

    async with running(Settings(serve(Script(answer)) + "/mcp", timeout=60), NoAuthorization()) as host:
        host.say({"id": 2, "method": "tools/call", "params": {"name": "t", **META}})
        host.say({"id": 1, "method": "server/discover", "params": META})
        assert {(await host.outgoing.get())["id"] for _ in (1, 2)} == {1, 2}
