"""Server cards behind the gateway: from what servers told it, where the operator wants them public."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from mcp_oauth_dynamicclient import server_tools
from mcp_oauth_dynamicclient._common.server_card import told
from mcp_oauth_dynamicclient._common.server_tools import digest

from .support import App, Clock

TIME, ECHO = "http://localhost:8080/time/mcp", "http://localhost:8080/echo/mcp"
TOKEN = {"jti": "token-1", "scope": "mcp"}
TELL, CATALOG = "/internal/identity/card", "/.well-known/ai-catalog.json"
SAID = {
    "name": "mcp-time",
    "title": "Time",
    "version": "1.2",
    "description": "Tells the time.",
    "secret": "s",
}

MakeApp = Callable[..., Awaitable[App]]


async def tell(app: App, resource: str, said: object = SAID) -> int:
    statement = await app.ctx.statements.about(await app.grant(), TOKEN, resource)
    body = json.dumps({"statement": statement, "said": said})
    return (await app.http.post(TELL, content=body)).status_code


async def test_nothing_is_public_unless_the_operator_says_so(app: App) -> None:
    assert await tell(app, TIME) == 200
    for path in ("/time/mcp/server-card", CATALOG):
        response = await app.http.get(path)
        assert (response.status_code, response.json()["error"]) == (404, "not_found")
    assert [entry async for entry in app.ctx.store.list("card")] == []


async def test_a_card_has_what_the_server_told_and_the_address_that_the_gateway_knows(
    make_app: MakeApp,
) -> None:
    app = await make_app(public_server_cards=True)
    assert (await app.http.get("/time/mcp/server-card")).status_code == 404
    assert await tell(app, TIME) == 200
    response = await app.http.get("/time/mcp/server-card")
    assert response.headers["content-type"] == "application/mcp-server-card+json"
    assert response.headers["access-control-allow-origin"] == "*"
    card = response.json()
    assert (card["name"], card["version"], card["title"]) == ("localhost/time", "1.2", "Time")
    assert card["description"] == "Tells the time."
    assert [remote["url"] for remote in card["remotes"]] == [TIME]
    assert "secret" not in response.text
    catalog = await app.http.get(CATALOG)
    assert catalog.headers["content-type"] == "application/ai-catalog+json"
    assert [entry["url"] for entry in catalog.json()["entries"]] == [f"{TIME}/server-card"]
    again = await app.http.get("/time/mcp/server-card", headers={"if-none-match": response.headers["etag"]})
    assert again.status_code == 304
    assert (await app.http.get("/echo/mcp/server-card")).status_code == 404


async def test_subdomains_have_their_cards_beside_their_endpoints(make_app: MakeApp) -> None:
    app = await make_app(base_domain="example.com", public_server_cards=True)
    assert await tell(app, "https://time.example.com/mcp") == 200
    assert await tell(app, "https://time.example.com/sub/mcp") == 200
    card = (await app.http.get("https://time.example.com/mcp/server-card")).json()
    assert card["name"] == "com.example.time/time"
    for host in ("auth", "time"):
        entries = (await app.http.get(f"https://{host}.example.com{CATALOG}")).json()["entries"]
        assert [entry["identifier"] for entry in entries] == ["urn:air:time.example.com:time"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"statement": 5, "said": {}}',
        b'{"statement": "x.y.z", "said": {}}',
        b'{"statement": "x", "said": "' + b"x" * 20_000 + b'"}',
        b"[" * 10_000,
    ],
)
async def test_who_has_no_statement_tells_nothing(make_app: MakeApp, body: bytes) -> None:
    app = await make_app(public_server_cards=True)
    response = await app.http.post(TELL, content=body)
    assert (response.status_code, response.json()["error"]) == (400, "invalid_token")
    assert [entry async for entry in app.ctx.store.list("card")] == []


@pytest.mark.parametrize("said", [None, [], "x", {}, {"name": 5}, {"title": None}])
async def test_what_says_nothing_is_no_card(make_app: MakeApp, said: Any) -> None:
    app = await make_app(public_server_cards=True)
    assert await tell(app, TIME, said) == 200
    assert (await app.http.get("/time/mcp/server-card")).status_code == 404


async def test_a_server_speaks_for_itself_alone(make_app: MakeApp, clock: Clock) -> None:
    app = await make_app(public_server_cards=True)
    await tell(app, TIME, {**SAID, "remotes": [{"url": ECHO}], "resource": ECHO})
    assert (await app.http.get("/echo/mcp/server-card")).status_code == 404
    late = await app.ctx.statements.about(await app.grant(), TOKEN, ECHO)
    clock.advance(3600)
    refused = await app.http.post(TELL, json={"statement": late, "said": SAID})
    assert refused.status_code == 400


async def test_what_no_document_can_hold_breaks_none(make_app: MakeApp) -> None:
    """Half a surrogate pair is a string in JSON and none in UTF-8, nor for strict readers of the catalog."""
    app = await make_app(public_server_cards=True)
    await tell(app, ECHO)
    assert await tell(app, TIME, dict.fromkeys((*SAID, "websiteUrl"), "https://a/\ud800b")) == 200
    card = await app.http.get("/time/mcp/server-card")
    catalog = await app.http.get(CATALOG)
    assert (card.status_code, catalog.status_code) == (200, 200)
    assert len(catalog.json()["entries"]) == 2
    for document in (card, catalog):
        assert "\\ud800" not in document.text
    assert card.json()["title"] == "https://a/?b"


async def test_tools_are_kept_for_pages_and_public_nowhere(make_app: MakeApp) -> None:
    app = await make_app(public_server_cards=True)
    tools = {"count": 1, "tools": [{"name": "get_time"}]}
    assert await tell(app, TIME, {**SAID, "tools": tools}) == 200
    known = await server_tools.of_server(app.ctx, TIME)
    assert known is not None
    assert (known.count, known.changing[0].name) == (1, "get_time")
    assert await server_tools.of_server(app.ctx, ECHO) is None
    for path in ("/time/mcp/server-card", CATALOG):
        assert "get_time" not in (await app.http.get(path)).text


@pytest.mark.parametrize("wide", ["\U0001f600" * 100_000, "\x01" * 100_000])
async def test_the_most_that_a_server_tells_is_taken(make_app: MakeApp, wide: str) -> None:
    """As the server's CardPublisher tells it, whatever the server said of itself."""
    app = await make_app(public_server_cards=True)
    tools = digest({"name": f"{number}{wide}", "title": wide, "description": wide} for number in range(500))
    statement = await app.ctx.statements.about(await app.grant(), TOKEN, TIME)
    texts = told({**dict.fromkeys(SAID, wide), "websiteUrl": f"https://example.com/{wide}"})
    body = json.dumps({"statement": statement, "said": {**texts, "tools": tools}}, ensure_ascii=False)
    assert (await app.http.post(TELL, content=body.encode())).status_code == 200
    known = await server_tools.of_server(app.ctx, TIME)
    assert known is not None
    assert known.count == 500
    card = (await app.http.get("/time/mcp/server-card")).json()
    assert "websiteUrl" not in card
