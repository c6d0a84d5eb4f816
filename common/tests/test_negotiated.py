"""The SDK's own server behind the negotiation: every client gets its answer in the form that it takes."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from pydantic import BaseModel

from common.negotiated import Negotiated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

BOTH = "application/json, text/event-stream"
HANDSHAKE = "2025-11-25"
MODERN = "2026-07-28"


class Color(BaseModel):
    color: str


def make_server() -> MCPServer:
    server = MCPServer("test")

    @server.tool()
    async def quiet() -> str:
        return "quiet"

    @server.tool()
    async def noting(ctx: Context) -> str:
        await ctx.report_progress(0.5, 1.0)
        return "noted"

    @server.tool()
    async def asking(ctx: Context) -> str:
        try:
            await ctx.elicit("Which color?", Color)
        except Exception as error:
            return f"refused: {error}"
        return "answered"

    return server


class Client:
    """Plain HTTP to one server; opens its session with both forms."""

    def __init__(self, http: httpx.AsyncClient, version: str) -> None:
        self.http = http
        self.version = version
        self.session: dict[str, str] = {}

    async def open(self) -> None:
        if self.version == HANDSHAKE:
            hello = {
                "protocolVersion": HANDSHAKE,
                "capabilities": {"elicitation": {}},
                "clientInfo": {"name": "t", "version": "1"},
            }
            answer = await self.post("initialize", hello, BOTH)
            self.session = {"mcp-session-id": answer.headers["mcp-session-id"]}
            note = {"jsonrpc": "2.0", "method": "notifications/initialized"}
            headers = {"accept": BOTH, "mcp-protocol-version": HANDSHAKE, **self.session}
            assert (await self.http.post("/mcp", json=note, headers=headers)).status_code == 202

    async def post(self, method: str, params: dict[str, Any], accept: str | None) -> httpx.Response:
        headers = {"mcp-protocol-version": self.version, "mcp-method": method, **self.session}
        headers |= {"mcp-name": params["name"]} if "name" in params else {}
        meta: dict[str, Any] = {"progressToken": "p"}
        if self.version == MODERN:
            meta |= {
                "io.modelcontextprotocol/protocolVersion": MODERN,
                "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
                "io.modelcontextprotocol/clientCapabilities": {},
            }
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}
        request = self.http.build_request("POST", "/mcp", json=body, headers=headers)
        del request.headers["accept"]
        if accept is not None:
            request.headers["accept"] = accept
        return await self.http.send(request)

    async def call(self, tool: str, accept: str | None) -> tuple[str, list[dict[str, Any]]]:
        """The form of the answer and its messages."""
        answer = await self.post("tools/call", {"name": tool, "arguments": {}}, accept)
        assert answer.status_code == 200, answer.text
        form = answer.headers["content-type"].partition(";")[0]
        if form == "application/json":
            assert int(answer.headers["content-length"]) == len(answer.content)
            return form, [answer.json()]
        lines = [line[5:].strip() for line in answer.text.splitlines() if line.startswith("data:")]
        return form, [json.loads(line) for line in lines if line]


@pytest.fixture(params=[HANDSHAKE, MODERN])
async def client(request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    app = make_server().streamable_http_app(
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False)
    )
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(in_its_own_task(lambda: app.router.lifespan_context(app)))
        transport = httpx.ASGITransport(Negotiated(app))
        http = await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://test"))
        made = Client(http, request.param)
        await made.open()
        yield made


@contextlib.asynccontextmanager
async def in_its_own_task(
    make: Callable[[], contextlib.AbstractAsyncContextManager[Any]],
) -> AsyncIterator[None]:
    """Cancel scopes do not forgive a fixture that ends in another task than it began in."""
    ready, done = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with make():
            ready.set()
            await done.wait()

    task = asyncio.create_task(hold())
    await ready.wait()
    yield
    done.set()
    await task


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("text/event-stream", "text/event-stream"),
        (BOTH, "application/json"),
        ("text/event-stream, application/json;q=0.1", "application/json"),
    ],
)
async def test_an_answer_that_nothing_precedes(client: Client, accept: str | None, form: str) -> None:
    got, messages = await client.call("quiet", accept)
    assert got == form
    assert [message["result"]["content"][0]["text"] for message in messages] == ["quiet"]


@pytest.mark.parametrize(
    ("accept", "form", "notes"),
    [
        (None, "text/event-stream", 1),
        (BOTH, "text/event-stream", 1),
        ("text/event-stream", "text/event-stream", 1),
        ("application/json", "application/json", 0),
    ],
)
async def test_an_answer_that_a_note_precedes(
    client: Client, accept: str | None, form: str, notes: int
) -> None:
    got, messages = await client.call("noting", accept)
    assert got == form
    assert [message["method"] for message in messages[:-1]] == ["notifications/progress"] * notes
    assert messages[-1]["result"]["content"][0]["text"] == "noted"


async def test_a_question_to_a_client_that_takes_json_alone_is_refused(client: Client) -> None:
    form, messages = await client.call("asking", "application/json")
    assert form == "application/json"
    assert "refused" in messages[-1]["result"]["content"][0]["text"]


@pytest.mark.parametrize("accept", ["text/html", "", "application/json;q=0"])
async def test_a_client_that_takes_neither_is_told(client: Client, accept: str) -> None:
    answer = await client.post("tools/list", {}, accept)
    assert answer.status_code == 406
    assert "text/event-stream" in answer.json()["error"]["message"]


async def test_a_stream_is_not_given_to_a_client_that_takes_none(client: Client) -> None:
    answer = await client.http.get("/mcp", headers={"accept": "application/json", **client.session})
    assert answer.status_code == 406
    answer = await client.post("subscriptions/listen", {}, "application/json")
    assert answer.status_code in (404, 406)
    if client.version == MODERN:
        assert answer.status_code == 406


@pytest.mark.parametrize("accept", [None, BOTH, "application/json", "text/event-stream"])
async def test_errors_keep_their_status_whatever_is_taken(client: Client, accept: str | None) -> None:
    answer = await client.http.post(
        "/mcp",
        content=b"{",
        headers={"content-type": "application/json"} | ({"accept": accept} if accept else {}),
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == -32700
