"""The gateway is told the tools that everybody who may use a server has, and no others."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from mcp_streamablehttp_proxy._common.identity_statement import Statement
from mcp_streamablehttp_proxy._common.public_url import PublicUrl
from mcp_streamablehttp_proxy.app import ProxyApp, create_app
from mcp_streamablehttp_proxy.settings import Server, Settings, Tools

from .modern.support import COMMANDS, Modern
from .support import Client, Eventually, Running, serving

PAGED = (sys.executable, str(Path(__file__).parent / "servers" / "paged.py"))
SETTINGS = Settings(
    identity_url="http://127.0.0.1:1/internal/identity",
    public_url=PublicUrl.parse("https://gateway.example/x/mcp"),
    trust_identity=True,
)


class Gateway:
    """Vouches for the person that a request names, and keeps what it is told last."""

    def __init__(self, url: str) -> None:
        self.told: dict[str, Any] = {}

    def now(self) -> float:
        return time.time()

    async def check(self, text: str | None, audience: str) -> Statement:
        return Statement(text or "ada", "Ada", "client", "mcp", audience, time.time() + 300, "k", "t")

    async def tell(self, statement: Statement, said: dict[str, Any]) -> None:
        self.told = said


@pytest.fixture
def gateways(monkeypatch: pytest.MonkeyPatch) -> list[Gateway]:
    made: list[Gateway] = []

    def make(url: str) -> Gateway:
        made.append(Gateway(url))
        return made[-1]

    monkeypatch.setattr("mcp_streamablehttp_proxy._common.gateway_identity.GatewayIdentity", make)
    return made


@contextlib.asynccontextmanager
async def behind_the_gate(server: Server) -> AsyncIterator[tuple[ProxyApp, Running]]:
    app = create_app(servers=[server], settings=SETTINGS)
    async with app.hub.running(), serving(app) as served:
        yield app, Running(served.http, served.port, app)


def names(gateway: Gateway) -> list[str]:
    return [tool["name"] for tool in gateway.told.get("tools", {}).get("tools", [])]


@pytest.mark.parametrize("isolation", ["session", "shared"])
async def test_all_pages_are_told_and_what_a_session_adds_is_not(
    isolation: Any, gateways: list[Gateway], eventually: Eventually
) -> None:
    server = Server(name="x", command=PAGED, isolation=isolation, stop_timeout=1.0)
    async with behind_the_gate(server) as (app, running):
        assert app.hub.said_at("/x/mcp") == {}, "nobody has come, and nothing is started"
        for _ in range(2):
            client = Client(running.http, path="/x/mcp")
            await client.initialize()
            await eventually(lambda: "tools" in app.hub.said_at("/x/mcp"))
            await client.call("sign_in")
        [gateway] = gateways
        await eventually(lambda: names(gateway) == ["look", "write", "sign_in"])
        look = gateway.told["tools"]["tools"][0]
        assert look == {"name": "look", "annotations": {"readOnlyHint": True}}
        assert gateway.told["tools"]["count"] == 3


async def test_a_session_that_was_used_is_not_asked_for_the_tools_of_all(
    gateways: list[Gateway], eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcp_streamablehttp_proxy.server.tool_list._FRESH", 0.0)
    server = Server(name="x", command=PAGED, stop_timeout=1.0)
    async with behind_the_gate(server) as (app, running):
        client = Client(running.http, path="/x/mcp")
        await client.initialize()
        await eventually(lambda: "tools" in app.hub.said_at("/x/mcp"))
        await client.call("sign_in")
        await client.post({"jsonrpc": "2.0", "method": "notifications/initialized"})
        for _ in range(4):  # the server answers in order: by now it would have listed all pages
            await client.call("look")
        told = app.hub.said_at("/x/mcp")["tools"]["tools"]
        assert [tool["name"] for tool in told] == ["look", "write", "sign_in"]


async def test_where_a_process_is_one_persons_nothing_is_told(
    gateways: list[Gateway], eventually: Eventually
) -> None:
    server = Server(name="x", command=PAGED, isolation="user", stop_timeout=1.0)
    async with behind_the_gate(server) as (app, running):
        client = Client(running.http, path="/x/mcp")
        await client.initialize()
        await client.call("sign_in")
        [gateway] = gateways
        await eventually(lambda: gateway.told)
        assert "tools" not in gateway.told
        assert "tools" not in app.hub.said_at("/x/mcp")


@pytest.mark.parametrize("command", ["handshake", "modern"])
async def test_a_modern_client_has_them_told_too(
    command: str, gateways: list[Gateway], eventually: Eventually
) -> None:
    server = Server(name="x", command=COMMANDS[command], stop_timeout=1.0)
    async with behind_the_gate(server) as (app, running):
        client = Modern(running.http, running, path="/x/mcp")
        listed = [tool["name"] for tool in (await client.ask("tools/list"))["result"]["tools"]]
        await eventually(lambda: "tools" in app.hub.said_at("/x/mcp"))
        await client.ask("tools/list")
        [gateway] = gateways
        await eventually(lambda: names(gateway) == listed)


async def test_a_session_of_a_modern_server_has_them_told(
    gateways: list[Gateway], eventually: Eventually
) -> None:
    server = Server(name="x", command=COMMANDS["modern"], stop_timeout=1.0)
    async with behind_the_gate(server) as (app, running):
        await Client(running.http, path="/x/mcp").initialize()
        await eventually(lambda: "tools" in app.hub.said_at("/x/mcp"))


async def test_tools_that_clients_do_not_have_are_not_told(
    gateways: list[Gateway], eventually: Eventually
) -> None:
    tools = Tools(deny=("write",), rename={"look": "see"})
    server = Server(name="x", command=PAGED, tools=tools, stop_timeout=1.0)
    async with behind_the_gate(server) as (app, running):
        await Client(running.http, path="/x/mcp").initialize()
        await eventually(lambda: "tools" in app.hub.said_at("/x/mcp"))
        told = app.hub.said_at("/x/mcp")["tools"]["tools"]
        assert [tool["name"] for tool in told] == ["see", "sign_in"]


async def test_without_a_gateway_no_server_is_asked(eventually: Eventually) -> None:
    app = create_app(servers=[Server(name="x", command=PAGED, stop_timeout=1.0)])
    async with app.hub.running(), serving(app) as served:
        client = Client(served.http, path="/x/mcp")
        await client.initialize()
        await client.call("sign_in")
        assert "tools" not in app.hub.said_at("/x/mcp")
