"""A real server behind the identity gate: who gets in, and when streams end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import uvicorn

from common.gateway_identity import GatewayIdentity
from common.identity_gate import IdentityGate
from common.public_url import PublicUrl
from common.serving import address, listen

from .conftest import Gateway

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import Receive, Scope, Send

OWN = PublicUrl.parse("https://echo.example.com/mcp")


class Echo:
    """Answers with the identity it was told; streams until the client has left."""

    def __init__(self) -> None:
        self.left = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        while (message := await receive()).get("more_body"):
            pass
        if scope["path"].endswith("/quick") or scope["path"] in ("/health", "/metrics"):
            await self._say(
                send, "application/json", {n: v for n, v in headers.items() if n.startswith("x-")}
            )
            return
        if not scope["path"].endswith("/silent"):
            await self._start(send, "text/event-stream")
            await send({"type": "http.response.body", "body": b"data: begun\n\n", "more_body": True})
        assert message["type"] == "http.request"
        assert (await receive())["type"] == "http.disconnect"
        self.left.set()

    async def _say(self, send: Send, kind: str, value: Any) -> None:
        await self._start(send, kind)
        await send({"type": "http.response.body", "body": json.dumps(value).encode()})

    async def _start(self, send: Send, kind: str) -> None:
        head = [(b"content-type", kind.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": head})


class Server:
    def __init__(self, gateway: Gateway, echo: Echo, http: httpx.AsyncClient) -> None:
        self.gateway = gateway
        self.echo = echo
        self.http = http

    def ask(self, path: str = "/mcp/quick", statement: str | None = None, **headers: str) -> Any:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        sent |= {"x-gateway-identity": statement} if statement else {}
        return self.http.get(path, headers=sent)


@pytest.fixture
async def server(gateway: Gateway) -> AsyncIterator[Server]:
    gateway.now = int(time.time())
    echo = Echo()
    identity = GatewayIdentity("http://edge", ask=gateway.ask)
    app = IdentityGate(echo, identity, OWN, renew_every=0.05)
    with listen("127.0.0.1", 0) as listener:
        served = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="error"))
        task = asyncio.create_task(served.serve(sockets=[listener]))
        async with httpx.AsyncClient(base_url=address(listener), trust_env=False, timeout=60) as http:
            yield Server(gateway, echo, http)
        served.should_exit = True
        await task


async def test_the_application_is_told_what_the_statement_says_and_nothing_else(server: Server) -> None:
    text = server.gateway.sign(name="Zoë 100%")
    answer = await server.ask(
        statement=text, x_user_id="local:admin", x_user_name="admin", x_client_id="evil"
    )
    assert answer.json() == {
        "x-user-id": "local:ada",
        "x-user-name": "Zo%C3%AB 100%25",
        "x-client-id": "client-1",
    }


@pytest.mark.parametrize(
    "path", ["/mcp/quick", "/quick", "/", "/mcp", "/sub/mcp/quick", "/health/quick", "/sub/health"]
)
async def test_nobody_gets_in_without_a_statement(server: Server, path: str) -> None:
    """The direct request from a neighbour that docs/security.md once called closed."""
    answer = await server.ask(path, x_user_id="local:admin")
    assert answer.status_code == 403
    assert answer.json()["error"]["message"] == "This server takes requests from its gateway only."


async def test_two_statements_are_none(server: Server) -> None:
    pairs = [("x-gateway-identity", server.gateway.sign())] * 2
    assert (await server.http.get("/mcp/quick", headers=pairs)).status_code == 403


async def test_a_statement_opens_its_own_endpoint_only(server: Server) -> None:
    text = server.gateway.sign()
    assert (await server.ask("/mcp/quick", text)).status_code == 200
    assert (await server.ask("/sub/mcp/quick", text)).status_code == 403
    nested = server.gateway.sign(aud="https://echo.example.com/sub/mcp")
    assert (await server.ask("/sub/mcp/quick", nested)).status_code == 200
    assert (await server.ask("/mcp/quick", nested)).status_code == 403


async def test_health_is_open_and_metrics_inside(server: Server) -> None:
    assert (await server.ask("/health")).status_code == 200
    assert (await server.ask("/metrics")).status_code == 200
    assert (await server.ask("/metrics", x_forwarded_host="echo.example.com")).status_code == 403
    assert (await server.http.post("/health")).status_code == 403
    assert (await server.http.post("/metrics")).status_code == 403


async def test_while_no_key_can_be_had_it_is_503(server: Server) -> None:
    server.gateway.down = True
    answer = await server.ask(statement=server.gateway.sign())
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")


async def test_a_standing_stream_ends_with_its_statement(server: Server) -> None:
    """Whole, not broken: the client opens another."""
    text = server.gateway.sign(iat=int(server.gateway.now) - 200, exp=int(time.time()) + 2)
    answer = await server.ask("/mcp/stream", text)
    assert answer.text == "data: begun\n\n"
    await server.echo.left.wait()
    assert not [asked for asked in server.gateway.asked if asked.startswith("POST")]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b"7", b"[" * 100_000])
async def test_what_only_its_header_calls_a_subscription_ends_too(server: Server, body: bytes) -> None:
    """It stayed open for ever."""
    text = server.gateway.sign(iat=int(server.gateway.now) - 200, exp=int(time.time()) + 1)
    headers = {"x-gateway-identity": text, "mcp-method": "subscriptions/listen"}
    method = "POST" if body else "GET"
    answer = await server.http.request(method, "/mcp/stream", content=body, headers=headers)
    assert answer.text == "data: begun\n\n"
    await server.echo.left.wait()


async def test_a_subscription_ends_with_its_result(server: Server) -> None:
    text = server.gateway.sign(iat=int(server.gateway.now) - 200, exp=int(time.time()) + 2)
    body = {"jsonrpc": "2.0", "id": "s-1", "method": "subscriptions/listen", "params": {}}
    headers = {"x-gateway-identity": text, "mcp-method": "subscriptions/listen"}
    answer = await server.http.post("/mcp/stream", json=body, headers=headers)
    last = json.loads(answer.text.rstrip().rpartition("data: ")[2])
    assert last["id"] == "s-1"
    assert last["result"] == {
        "resultType": "complete",
        "_meta": {"io.modelcontextprotocol/subscriptionId": "s-1"},
    }
    await server.echo.left.wait()


async def test_a_call_goes_on_while_it_is_renewed_and_ends_after_a_revocation(server: Server) -> None:
    headers = {"x-gateway-identity": server.gateway.sign()}
    async with server.http.stream("POST", "/mcp/stream", json={}, headers=headers) as answer:
        lines = answer.aiter_text()
        assert await anext(lines) == "data: begun\n\n"
        while sum(asked.startswith("POST") for asked in server.gateway.asked) < 3:
            await asyncio.sleep(0.01)
        assert not server.echo.left.is_set()
        server.gateway.revoked = True
        with pytest.raises(StopAsyncIteration):
            await anext(lines)
    await server.echo.left.wait()


async def test_a_call_that_had_no_answer_yet_is_told_of_the_revocation(server: Server) -> None:
    server.gateway.revoked = True
    headers = {"x-gateway-identity": server.gateway.sign()}
    answer = await server.http.post("/mcp/silent", json={}, headers=headers)
    assert (answer.status_code, answer.json()["error"]["message"]) == (
        403,
        "The sign-in behind this request was revoked.",
    )
    await server.echo.left.wait()


async def test_a_call_outlives_a_gateway_that_is_away_until_its_statement_expires(server: Server) -> None:
    text = server.gateway.sign(iat=int(server.gateway.now) - 200, exp=int(time.time()) + 2)
    assert (await server.ask(statement=text)).status_code == 200
    server.gateway.down = True
    headers = {"x-gateway-identity": text}
    answer = await server.http.post("/mcp/stream", json={}, headers=headers)
    assert answer.text == "data: begun\n\n"
    assert sum(asked.startswith("POST") for asked in server.gateway.asked) >= 1


async def test_a_client_that_leaves_is_noticed(server: Server) -> None:
    headers = {"x-gateway-identity": server.gateway.sign()}
    with contextlib.suppress(httpx.ReadTimeout):
        await server.http.post("/mcp/silent", json={}, headers=headers, timeout=0.1)
    await server.echo.left.wait()
