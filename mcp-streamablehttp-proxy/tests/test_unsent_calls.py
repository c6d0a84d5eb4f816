"""Calls that reached no server: an audit line each, like all others. And calls of who lost the right."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any, cast

import httpx
import pytest
from mcp_streamablehttp_proxy._common.gateway_identity import GatewayIdentity
from mcp_streamablehttp_proxy._common.identity_gate import IdentityGate
from mcp_streamablehttp_proxy._common.identity_statement import Statement, StatementRefusedError
from mcp_streamablehttp_proxy._common.public_url import PublicUrl
from mcp_streamablehttp_proxy.app import create_app
from mcp_streamablehttp_proxy.settings import Server, Settings

from .modern.support import COMMANDS, Modern
from .support import Client, Eventually, Mount, Start


@pytest.fixture
def noted(caplog: pytest.LogCaptureFixture) -> Any:
    """User, tool and outcome of each audit line."""
    caplog.set_level(logging.INFO)

    def lines() -> list[tuple[str, str, str]]:
        records: list[Any] = [one for one in caplog.records if one.name.endswith(".audit")]
        return [(one.user, one.tool, one.outcome) for one in records]

    return lines


async def test_a_call_without_its_session_is_a_line(start: Start, noted: Any) -> None:
    proxy = await start(settings=Settings(trust_identity=True))
    client = proxy.client(x_user_id="ada")
    assert (await client.post(client.tool("echo"))).status_code == 400
    client.session = "unknown"
    assert (await client.post(client.tool("pid"))).status_code == 404
    assert noted() == [("ada", "echo", "refused"), ("ada", "pid", "refused")]


async def test_a_call_whose_server_cannot_start_is_a_line(start: Start, noted: Any) -> None:
    proxy = await start(command=("/nonexistent/server",))
    client = Modern(proxy.http, proxy)
    body = client.request("tools/call", name="x", arguments={})
    assert (await client.post(body)).status_code == 502
    assert (await client.post(body, mcp_name="another")).status_code == 400
    assert noted() == [("", "x", "failed"), ("", "x", "refused")]


async def test_a_call_that_found_no_room_is_a_line(start: Start, noted: Any) -> None:
    proxy = await start(max_children=1, wait=0.1)
    await proxy.opened()
    client = Modern(proxy.http, proxy)
    assert (await client.post(client.request("tools/call", name="x", arguments={}))).status_code == 503
    assert noted() == [("", "x", "failed")]


async def test_each_call_of_a_refused_batch_is_a_line(start: Start, noted: Any) -> None:
    client = await (await start()).opened()
    batch = [client.tool("echo"), {"jsonrpc": "2.0", "id": "p", "method": "ping"}, client.tool("pid")]
    assert (await client.post(batch)).status_code == 400
    assert noted() == [("", "echo", "refused"), ("", "pid", "refused")]


async def test_a_call_that_was_sent_is_one_line_however_it_ends(start: Start, noted: Any) -> None:
    proxy = await start()
    client = await proxy.opened()
    await client.post(client.tool("die"))
    assert (await client.post(client.tool("echo"))).status_code == 404
    modern = Modern(proxy.http, proxy)
    await modern.post(modern.request("tools/call", name="die", arguments={}))
    assert [(tool, outcome) for _, tool, outcome in noted()] == [
        ("die", "failed"),
        ("echo", "refused"),
        ("die", "failed"),
    ]


async def test_what_is_no_call_is_no_line(start: Start, noted: Any) -> None:
    proxy = await start()
    client = proxy.client()
    for body in (b"", b"{", b"[]", b"[5]", {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}):
        assert (await client.post(body)).status_code == 400
    assert noted() == []


class Gateway:
    """Vouches for everybody, until it does no more."""

    revoked = False

    def now(self) -> float:
        return time.time()

    async def check(self, text: str | None, audience: str) -> Statement:
        return Statement("ada", "Ada", "client", "mcp", audience, time.time() + 300, "k", "t")

    async def renew(self, statement: Statement) -> Statement:
        if self.revoked:
            raise StatementRefusedError("revoked")
        return statement


@pytest.mark.parametrize("accept", ["application/json, text/event-stream", "application/json"])
@pytest.mark.parametrize("era", ["handshake", "modern"])
@pytest.mark.parametrize("server", ["handshake", "modern"])
async def test_the_server_is_told_to_stop_a_call_whose_sign_in_was_revoked(
    mount: Mount, eventually: Eventually, era: str, server: str, accept: str
) -> None:
    app = create_app(servers=[Server(name="default", command=COMMANDS[server], stop_timeout=1.0)])
    gateway = Gateway()
    gate = IdentityGate(
        app, cast(GatewayIdentity, gateway), PublicUrl.parse("https://x.example.com/mcp"), renew_every=0.05
    )
    prefix = "" if server == "modern" else "test_"
    async with app.hub.running(), mount(gate) as served:
        pool = app.hub.endpoints["default"].pool
        client: Client | Modern = Client(served.http)
        if isinstance(client, Client) and era == "handshake":
            await client.initialize()
        else:
            client = Modern(served.http, cast(Any, None))

        async def running() -> str:
            """How many other calls the server itself is at."""
            tool = f"{prefix}running"
            return await (client.call(tool) if isinstance(client, Client) else client.text(tool))

        def under_way() -> list[str]:
            methods = [turn.message.method for child in pool._children for turn in child.open]
            return [method for method in methods if method == "tools/call"]

        before = await running()
        if isinstance(client, Client):
            sending = client.post(client.tool(f"{prefix}hang"), accept=accept)
        else:
            body = client.request("tools/call", name=f"{prefix}hang", arguments={})
            sending = client.post(body, accept=accept)
        call = asyncio.create_task(sending)
        await eventually(under_way)
        gateway.revoked = True
        answer: httpx.Response = await call
        assert "result" not in answer.text
        await eventually(lambda: not under_way())
        gateway.revoked = False
        while await running() != before:
            await asyncio.sleep(0.01)
