"""A host of one era before a server of the other."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from mcp_streamablehttp_client.oauth.authorizer import NoAuthorization
from mcp_streamablehttp_client.settings import Settings
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from .memory_host import MemoryHost, bridged, running
from .support import Json, JsonRpc, Serve, sdk_server
from .test_transport import MODERN, Script, events, result

REFUSED_HANDSHAKE = {"code": -32022, "message": "no", "data": {"supported": ["2026-07-28"]}}


def refused(status: int, error: Json) -> Response:
    return JSONResponse({"jsonrpc": "2.0", "id": None, "error": error}, status)


class ModernOnly(Script):
    """Speaks 2026-07-28 only: a tool asks back, and its list changes."""

    def __init__(self) -> None:
        super().__init__(self.answer)
        self.changed = asyncio.Event()

    async def answer(self, request: Request, message: JsonRpc) -> Response:
        if request.headers.get("mcp-protocol-version") != "2026-07-28":
            return Response(status_code=405) if message is None else refused(400, REFUSED_HANDSHAKE)
        params = message["params"]
        assert params["_meta"]["io.modelcontextprotocol/clientInfo"]["name"] == "host"
        match message["method"]:
            case "server/discover":
                found = {
                    "supportedVersions": ["2026-07-28"],
                    "capabilities": {"tools": {"listChanged": True}},
                }
                info = {"io.modelcontextprotocol/serverInfo": {"name": "modern", "version": "1"}}
                return result(message, found | {"resultType": "complete", "_meta": info})
            case "subscriptions/listen":
                note = '{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{"_meta":{}}}'
                return events(f"data: {note}\n\n", 60.0)
            case "tools/call" if "inputResponses" not in params:
                ask = {"method": "elicitation/create", "params": {"message": "Who?", "requestedSchema": {}}}
                value = {"resultType": "input_required", "inputRequests": {"who": ask}, "requestState": "s1"}
                return result(message, value)
            case "tools/call":
                assert params["requestState"] == "s1"
                name = params["inputResponses"]["who"]["content"]["name"]
                text = [{"type": "text", "text": f"Hello {name}"}]
                return result(message, {"resultType": "complete", "content": text})
        return refused(404, {"code": -32601, "message": "no"})


@pytest.mark.parametrize("protocol", [None, "2026-07-28"])
async def test_a_host_that_shakes_hands_before_a_modern_server(protocol: str | None, serve: Serve) -> None:
    server = ModernOnly()
    settings = Settings(serve(server) + "/mcp", protocol=protocol)
    async with running(settings, NoAuthorization()) as host:
        opened = await host.handshake(elicitation={})
        assert opened["result"]["protocolVersion"] == "2025-11-25"
        assert opened["result"]["serverInfo"]["name"] == "modern"
        assert (await host.outgoing.get())["method"] == "notifications/tools/list_changed"
        host.say({"id": 1, "method": "tools/call", "params": {"name": "greet"}})
        asked = await host.outgoing.get()
        assert (asked["method"], asked["params"]["message"]) == ("elicitation/create", "Who?")
        host.say({"id": asked["id"], "result": {"action": "accept", "content": {"name": "Ada"}}})
        answer = await host.outgoing.get()
        assert (answer["id"], answer["result"]["content"][0]["text"]) == (1, "Hello Ada")
        assert "resultType" not in answer["result"]
        assert (await host.ask(2, "ping"))["result"] == {}
    initializes = [method for method in server.methods() if method == "initialize"]
    assert len(initializes) == (1 if protocol is None else 0)


class HandshakeOnly:
    """The SDK's server with the modern era refused, as a server of 2025 refuses what it never heard of."""

    def __init__(self, status: int) -> None:
        self.app = sdk_server()
        self.status = status

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope.get("headers", ()))
        if headers.get(b"mcp-protocol-version") == b"2026-07-28":
            error = {"code": -32000, "message": "Bad Request: Unsupported protocol version"}
            await refused(self.status, error)(scope, receive, send)
        else:
            await self.app(scope, receive, send)


async def ask(host: MemoryHost, identifier: str | int, method: str, **params: Any) -> Any:
    meta = MODERN | {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}}
    return (await host.ask(identifier, method, {**params, "_meta": meta}))["result"]


@pytest.mark.parametrize(("status", "protocol"), [(400, None), (404, None), (400, "2025-11-25")])
async def test_a_modern_host_before_a_server_that_shakes_hands(
    status: int, protocol: str | None, serve: Serve
) -> None:
    settings = Settings(serve(HandshakeOnly(status)) + "/mcp", protocol=protocol)
    async with running(settings, NoAuthorization()) as host:
        discovered = await ask(host, 1, "server/discover")
        assert discovered["supportedVersions"] == ["2026-07-28"]
        assert (discovered["resultType"], discovered["ttlMs"]) == ("complete", 0)
        listed = await ask(host, 2, "tools/list")
        assert {tool["name"] for tool in listed["tools"]} >= {"add", "greet"}
        added = await ask(host, 3, "tools/call", name="add", arguments={"a": 1, "b": 2})
        assert (added["structuredContent"], added["resultType"]) == ({"result": 3}, "complete")
        asked = await ask(host, 4, "tools/call", name="greet", arguments={})
        assert asked["resultType"] == "input_required"
        ((key, _),) = asked["inputRequests"].items()
        answers = {key: {"action": "accept", "content": {"name": "Ada"}}}
        greeted = await ask(
            host,
            5,
            "tools/call",
            name="greet",
            arguments={},
            inputResponses=answers,
            requestState=asked["requestState"],
        )
        assert greeted["content"][0]["text"] == "Hello Ada"


async def test_a_server_of_neither_era_is_answered_with_its_own_words(serve: Serve) -> None:
    async def handler(request: Request, message: JsonRpc) -> Response:
        return refused(400, {"code": -32000, "message": "Out of order"})

    async with running(Settings(serve(Script(handler)) + "/mcp"), NoAuthorization()) as host:
        assert (await host.handshake())["error"]["message"] == "Out of order"
        meta = {"_meta": MODERN}
        assert (await host.ask(1, "server/discover", meta))["error"]["message"] == "Out of order"


async def test_a_pinned_version_that_is_not_spoken_is_said(serve: Serve, sdk_url: str) -> None:
    async with running(
        Settings(serve(HandshakeOnly(400)) + "/mcp", protocol="2026-07-28"), NoAuthorization()
    ) as host:
        assert "--protocol" in (await host.handshake())["error"]["message"]
    async with bridged(sdk_url) as host:
        assert "result" in await host.ask(1, "tools/list")
