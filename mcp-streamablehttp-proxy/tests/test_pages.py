"""The overview for people and programs, and server cards (SEP-2127)."""

from __future__ import annotations

import re
import time
from typing import Any

import httpx
import pytest
from mcp_streamablehttp_proxy._common.card_publisher import CardPublisher
from mcp_streamablehttp_proxy._common.identity_gate import IdentityGate
from mcp_streamablehttp_proxy._common.identity_statement import Statement
from mcp_streamablehttp_proxy._common.internal_http import NoAnswerError
from mcp_streamablehttp_proxy._common.public_url import PublicUrl
from mcp_streamablehttp_proxy._common.server_card import card
from mcp_streamablehttp_proxy.app import create_app
from mcp_streamablehttp_proxy.settings import Server, Settings
from msgspec import Raw

from .modern.support import COMMANDS, Modern
from .support import SCRIPTED, Client, Eventually, Mount, Running, Start

BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
SECRET = "of-the-servers-own"


def server(name: str, command: tuple[str, ...] = COMMANDS["handshake"]) -> Server:
    return Server(name=name, command=command, stop_timeout=1.0, env={"KEY": SECRET})


@pytest.fixture
async def several(start: Start) -> Running:
    running = await start(
        server("old"), server("gone", ("/nonexistent/server",)), settings=Settings(combine=True)
    )
    running.app.hub.broken = {"wrong": f"env must be an object of texts, not {SECRET}"}
    return running


async def test_the_overview_tells_programs_how_each_server_is(several: Running) -> None:
    async def states() -> dict[str, tuple[str, str | None, int, int]]:
        listed = (await several.http.get("/")).json()["servers"]
        return {one["name"]: (one["state"], one["path"], one["processes"], one["sessions"]) for one in listed}

    assert await states() == {
        "combined": ("ready", "/mcp", 0, 0),
        "gone": ("unavailable", "/gone/mcp", 0, 0),
        "old": ("ready", "/old/mcp", 0, 0),
        "wrong": ("broken", None, 0, 0),
    }
    assert several.alive("old") == 0
    client = several.client("/old/mcp")
    await client.initialize()
    assert (await states())["old"] == ("running", "/old/mcp", 1, 1)
    old = next(one for one in (await several.http.get("/")).json()["servers"] if one["name"] == "old")
    assert (old["title"], old["version"]) == ("handshake-only", "1.0.0")


async def test_the_overview_is_a_page_for_people_without_script_or_secrets(several: Running) -> None:
    await several.client("/old/mcp").initialize()
    response = await several.http.get("/", headers=BROWSER)
    assert response.headers["content-type"].startswith("text/html")
    assert "script-src" not in response.headers["content-security-policy"]
    assert response.headers["content-security-policy"].startswith("default-src 'none'")
    assert "<script" not in response.text
    assert f"http://127.0.0.1:{several.port}/old/mcp" in response.text
    assert "handshake-only 1.0.0" in response.text
    for shown in (response, await several.http.get("/")):
        assert SECRET not in shown.text
        assert "/nonexistent" not in shown.text
    head = await several.http.head("/", headers=BROWSER)
    assert (head.status_code, head.content) == (200, b"")


async def test_what_no_document_can_hold_breaks_none(start: Start) -> None:
    running = await start(server("x"))
    half = b'{"serverInfo":{"name":"\\ud800","title":"a\\ud800b","icons":[{"src":"\\ud800"}]}}'
    running.app.hub.endpoints["x"].pool._introduction = Raw(half)
    assert "a?b" in (await running.http.get("/", headers=BROWSER)).text
    assert (await running.http.get("/")).json()["servers"][0]["title"] == "a?b"
    for path in ("/x/mcp/server-card", "/.well-known/ai-catalog.json"):
        document = (await running.http.get(path)).text
        assert "a?b" in document
        assert "ud800" not in document


async def test_what_a_server_calls_itself_is_text_on_the_page(start: Start) -> None:
    running = await start(server("x"))
    evil = b'{"serverInfo":{"name":"<img src=x onerror=1>","version":"\\u0000<b>"}}'
    running.app.hub.endpoints["x"].pool._introduction = Raw(evil)
    page = (await running.http.get("/", headers=BROWSER)).text
    assert "<img" not in page
    assert "<b>" not in page


@pytest.mark.parametrize("path", ["/", "/.well-known/ai-catalog.json", "/old/mcp/server-card"])
async def test_foreign_hosts_and_origins_are_refused_everywhere(several: Running, path: str) -> None:
    foreign = await several.http.get(path, headers={"host": "evil.example"})
    assert foreign.status_code == 421
    page = await several.http.get(path, headers={"origin": "https://evil.example"})
    assert page.status_code == 403
    assert "access-control-allow-origin" not in page.headers


async def test_behind_the_gateway_strangers_see_nothing(start: Start) -> None:
    settings = Settings(
        public_url=PublicUrl.parse("https://x.example.com/mcp"),
        identity_url="http://127.0.0.1:9/internal/identity",
    )
    running = await start(server("old"), settings=settings)
    for path in ("/", "/.well-known/ai-catalog.json", "/old/mcp/server-card"):
        response = await running.http.get(path)
        assert response.status_code in (403, 503)
        assert "old" not in response.text


async def test_a_card_is_what_a_server_said_of_itself(several: Running) -> None:
    address = "/old/mcp/server-card"
    unknown = await several.http.get(address)
    assert unknown.status_code == 404
    assert "connect to it first" in unknown.json()["error"]["message"]
    assert (await several.http.get("/.well-known/ai-catalog.json")).json()["entries"] == []
    assert several.alive("old") == 0
    await Modern(several.http, several, path="/old/mcp").ask("server/discover")
    base = f"http://127.0.0.1:{several.port}"
    response = await several.http.get(address, headers={"accept": "application/mcp-server-card+json"})
    assert response.headers["content-type"] == "application/mcp-server-card+json"
    assert response.headers["access-control-allow-origin"] == "*"
    found = response.json()
    assert (found["version"], found["title"]) == ("1.0.0", "handshake-only")
    assert re.fullmatch(r"[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+", found["name"])
    assert 1 <= len(found["description"]) <= 100
    remote = found["remotes"][0]
    assert (remote["type"], remote["url"]) == ("streamable-http", f"{base}/old/mcp")
    assert {"2026-07-28", "2025-11-25"} <= set(remote["supportedProtocolVersions"])
    catalog = await several.http.get("/.well-known/ai-catalog.json")
    assert catalog.headers["content-type"] == "application/ai-catalog+json"
    assert catalog.json()["entries"] == [
        {
            "identifier": "urn:air:127.0.0.1:old",
            "displayName": "handshake-only",
            "type": "application/mcp-server-card+json",
            "url": base + address,
        }
    ]
    again = await several.http.get(address, headers={"if-none-match": response.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


class Gateway:
    """Vouches for everybody, and keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, str]]] = []
        self.away = False

    def now(self) -> float:
        return time.time()

    async def check(self, text: str | None, audience: str) -> Statement:
        return Statement("ada", "Ada", "client", "mcp", audience, time.time() + 300, "k", "t")

    async def tell(self, statement: Statement, said: dict[str, str]) -> None:
        self.told.append((statement.audience, said))
        if self.away:
            raise NoAnswerError("away")


async def test_the_gateway_is_told_what_a_server_says_of_itself(
    mount: Mount, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = create_app(servers=[server("old")])
    gateway: Any = Gateway()
    gateway.away = True
    monkeypatch.setattr("mcp_streamablehttp_proxy._common.card_publisher.PAUSE", 0)
    own = PublicUrl.parse("https://x.example.com/mcp")
    gate = IdentityGate(CardPublisher(app, gateway, app.hub.said_at), gateway, own)
    async with app.hub.running(), mount(gate) as served:
        client = Client(served.http, path="/old/mcp")
        assert (await client.post(client.tool("test_simple_text"))).status_code == 400
        assert gateway.told == [], "nothing is known yet"
        await client.initialize()
        told = ("https://x.example.com/old/mcp", {"name": "handshake-only", "version": "1.0.0"})
        await eventually(lambda: gateway.told and set(map(str, gateway.told)) == {str(told)})
        gateway.away = False
        before = len(gateway.told)
        await client.call("test_simple_text")
        await eventually(lambda: len(gateway.told) > before)
        count = len(gateway.told)
        await client.call("test_simple_text")
        assert len(gateway.told) == count, "once is enough"


async def test_a_server_alone_has_its_card_beside_its_endpoint(start: Start) -> None:
    settings = Settings(public_url=PublicUrl.parse("https://time.example.com/mcp"))
    running = await start(Server(name="time", alone=True, command=SCRIPTED), settings=settings)
    await running.opened()
    found = (await running.http.get("/mcp/server-card")).json()
    assert found["name"] == "com.example.time/time"
    assert found["remotes"][0]["url"] == "https://time.example.com/mcp"
    assert (await running.http.get("/other/mcp/server-card")).status_code == 404


def test_a_card_says_what_fits_in_one() -> None:
    said = {
        "name": "n" * 500,
        "version": 5,
        "description": "two\n lines  " + "x" * 500,
        "icons": "none",
        "websiteUrl": "javascript:alert(1)",
    }
    found = card("x", "http://[::1]:3000/x/mcp", said)
    assert found["version"] == "unknown"
    assert found["description"].startswith("two lines x")
    assert len(found["description"]) == len(found["title"]) == 100
    assert not {"icons", "websiteUrl"} & found.keys()
    assert re.fullmatch(r"[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+", found["name"])


@pytest.mark.parametrize("path", ["/nothing", "/mcp/below", "/old/mcp/below"])
async def test_elsewhere_says_where_the_endpoint_is(several: Running, path: str) -> None:
    response: httpx.Response = await several.http.get(path)
    assert response.status_code == 404
    assert "the MCP endpoint is http://127.0.0.1" in response.json()["error"]["message"]


async def test_the_pages_are_only_read(several: Running) -> None:
    response = await several.http.post("/", json={})
    assert response.status_code == 405
    assert set(response.headers["allow"].split(", ")) == {"GET", "HEAD"}
