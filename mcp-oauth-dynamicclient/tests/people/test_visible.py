"""Which servers the pages name, and to whom."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import httpx
import pytest
from mcp_oauth_dynamicclient import pages
from mcp_oauth_dynamicclient.errors import StoreUnavailableError
from mcp_oauth_dynamicclient.pages.connect import cursor_link, vs_code_link
from mcp_oauth_dynamicclient.pages.phone import qr_code

from .support import OpenPlace, Place, Visitor, Web

NAMES = "time,fetch"
HTML = {"Accept": "text/html"}
TIME = "http://localhost:8080/time/mcp"


@asynccontextmanager
async def asking(place: Place, client: str = "127.0.0.1") -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(place.app, client=(client, 4711))
    async with httpx.AsyncClient(transport=transport, base_url=place.issuer, headers=HTML) as http:
        yield http


def at_the_gate(uri: str, client: str) -> dict[str, str]:
    return HTML | {
        "X-Forwarded-Host": "localhost:8080",
        "X-Forwarded-Uri": uri,
        "X-Forwarded-Method": "GET",
        "X-Forwarded-For": client,
    }


async def test_at_the_machine_everybody_sees_the_servers(open_place: OpenPlace) -> None:
    async with asking(await open_place(servers=NAMES)) as http:
        page = (await http.get("/")).text
    for words in (TIME, "http://localhost:8080/fetch/mcp", "claude mcp add --transport http time", "cursor:"):
        assert words in page


async def test_a_stranger_sees_no_server(open_place: OpenPlace) -> None:
    local = await open_place(servers=NAMES)
    async with asking(local, "192.0.2.7") as http:
        for path in ("/", "/tiem/mcp", "/tiem", "/static/nothing"):
            assert TIME not in (await http.get(path)).text
    public = await open_place(servers=NAMES, public_url="https://gateway.example")
    async with asking(public) as http:
        page = (await http.get("/")).text
        assert "Sign in to see the servers" in page
        assert "gateway.example/time/mcp" not in page


async def test_a_script_a_frame_and_a_rebound_name_see_no_server(open_place: OpenPlace) -> None:
    async with asking(await open_place(servers=NAMES)) as http:
        for headers in ({"Sec-Fetch-Mode": "cors"}, {"Sec-Fetch-Dest": "iframe"}, {"Host": "evil.example"}):
            for path in ("/", "/tiem", "/static/nothing"):
                assert TIME not in (await http.get(path, headers=headers)).text


async def test_a_page_of_another_origin_sees_no_server_in_a_browser_without_fetch_metadata(
    open_place: OpenPlace,
) -> None:
    """Such a page may read answers at a server's open addresses, and at the gate those to a listed origin."""
    place = await open_place(servers=NAMES)
    async with asking(place) as http:
        for origin in ("https://evil.example", "http://localhost:3000", "null"):
            for path in ("/", "/tiem", "/tiem/health", "/.well-known/nothing"):
                assert TIME not in (await http.get(path, headers={"Origin": origin})).text
            asked = at_the_gate("/tiem/mcp", "127.0.0.1") | {"Origin": origin}
            assert TIME not in (await http.get("/verify", headers=asked)).text


FINDINGS = {
    "hops": [
        {"hop": "disk", "state": "well", "what": "room enough"},
        {"hop": "server", "state": "wrong", "what": "notes ends at once", "rule": "a stdio server runs",
         "cure": "run its command", "said": "<b>no API_KEY</b>"},
    ]
}  # fmt: skip


async def test_at_the_machine_the_doctors_findings_are_shown_as_text(
    open_place: OpenPlace, tmp_path: Path
) -> None:
    file = tmp_path / "findings.json"
    async with asking(await open_place(servers=NAMES, findings_file=str(file))) as http:
        assert "What is wrong now" not in (await http.get("/")).text
        for unusable in ("", "{", '{"hops": [1]}', '{"hops": [{"hop": "disk"}]}', "[" * 9999):
            file.write_text(unusable)
            assert "What is wrong now" not in (await http.get("/")).text
        file.write_text(json.dumps(FINDINGS))
        page = (await http.get("/")).text
        assert "What is wrong now" in page
        assert "notes ends at once: “&lt;b&gt;no API_KEY&lt;/b&gt;”" in page
        assert "run its command" in page
        assert "room enough" not in page


async def test_nobody_else_sees_what_is_wrong(open_place: OpenPlace, tmp_path: Path) -> None:
    """No stranger, no page that asks from a browser here, and nobody on a server, signed in or not."""
    file = tmp_path / "findings.json"
    file.write_text(json.dumps(FINDINGS))
    here = await open_place(servers=NAMES, findings_file=str(file))
    async with asking(here, "192.0.2.7") as http:
        assert "ends at once" not in (await http.get("/")).text
    async with asking(here) as http:
        for headers in ({"Sec-Fetch-Mode": "cors"}, {"Origin": "https://evil.example"}):
            assert "ends at once" not in (await http.get("/", headers=headers)).text
    public = await open_place(servers=NAMES, public_url="https://gateway.example", findings_file=str(file))
    async with asking(public) as http:
        assert "ends at once" not in (await http.get("/")).text


async def test_the_findings_are_there_just_when_the_store_is_away(
    open_place: OpenPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "findings.json"
    file.write_text(json.dumps(FINDINGS))
    here = await open_place(servers=NAMES, findings_file=str(file))

    async def away(*_: object) -> None:
        raise StoreUnavailableError

    monkeypatch.setattr(here.ctx.servers, "names", away)
    async with asking(here) as http:
        page = await http.get("/")
        assert page.status_code == 503
        for words in ("Not available just now", "What is wrong now", "ends at once"):
            assert words in page.text
        for headers in ({"Sec-Fetch-Mode": "cors"}, {"Origin": "https://evil.example"}):
            assert "ends at once" not in (await http.get("/", headers=headers)).text
    async with asking(here, "192.0.2.7") as http:
        assert "ends at once" not in (await http.get("/")).text


async def test_signing_in_leads_back_to_the_servers(open_place: OpenPlace) -> None:
    visitor = await (await open_place(servers=NAMES)).visitor()
    assert TIME not in (await visitor.get("/")).text
    page = await visitor.sign_in(await visitor.get("/account?then=servers"))
    assert TIME in page.text
    assert TIME in (await visitor.get("/")).text


async def test_the_edge_says_who_asks_at_the_gate(open_place: OpenPlace) -> None:
    place = await open_place(servers=NAMES, trusted_proxies="127.0.0.1")
    async with asking(place) as http:
        for uri in ("/tiem/mcp", "/a/b/c"):
            near = await http.get("/verify", headers=at_the_gate(uri, "127.0.0.1"))
            far = await http.get("/verify", headers=at_the_gate(uri, "192.0.2.7"))
            for answer in (near, far):
                assert answer.status_code == 404
                assert "Nothing here" in answer.text
            assert TIME in near.text
            assert TIME not in far.text
        assert "Did you mean" in (await http.get("/verify", headers=at_the_gate("/tiem/mcp", "::1"))).text


async def test_a_client_at_a_mistyped_address_gets_json(open_place: OpenPlace) -> None:
    async with asking(await open_place(servers=NAMES)) as http:
        for headers in (
            {"Accept": "application/json, text/event-stream"},
            {"Accept": "*/*"},
            {"Accept": "text/html, application/json"},
        ):
            answer = await http.get("/verify", headers=at_the_gate("/tiem/mcp", "127.0.0.1") | headers)
            assert answer.status_code == 404
            assert answer.json()["error"] == "not_found"


def test_links_carry_the_name_and_the_address() -> None:
    scheme, _, entry = vs_code_link("tools/time", TIME).partition("?")
    assert scheme == "vscode:mcp/install"
    assert json.loads(unquote(entry)) == {"name": "tools-time", "type": "http", "url": TIME}
    link = urlsplit(cursor_link("time", TIME))
    assert (link.scheme, link.netloc, link.path) == ("cursor", "anysphere.cursor-deeplink", "/mcp/install")
    query = parse_qs(link.query)
    assert query["name"] == ["time"]
    assert json.loads(base64.b64decode(query["config"][0])) == {"url": TIME}


async def test_only_pages_with_lines_to_copy_have_a_script(place: Place, visitor: Visitor) -> None:
    for path in (place.url(), "/device", "/account", "/authorize"):
        page = await visitor.get(path)
        assert "<script" not in page.text
        assert "script-src" not in page.headers["content-security-policy"]
    landing = await visitor.get("/")
    nonce = landing.headers["content-security-policy"].partition("'nonce-")[2].partition("'")[0]
    assert landing.text.count("<script") == landing.text.count(f'<script nonce="{nonce}">') == 1
    assert nonce not in (await visitor.get("/")).text


async def test_a_long_name_is_cut_and_said_twice(place: Place, visitor: Visitor) -> None:
    client = await place.register(Web.WEB, name="N" * 59 + "end of it")
    page = (await visitor.get(place.url(client))).text
    assert "end of it" not in page
    body = page.partition("<main")[2]
    assert body.count("N" * 59 + "…") == 2


async def test_a_client_without_a_name_is_called_that(place: Place, visitor: Visitor) -> None:
    client = await place.register(Web.WEB, name="")
    page = await visitor.get(place.url(client))
    assert "a client without a name" in page.text
    assert "unverified" not in page.text


async def test_the_page_says_until_when(place: Place, visitor: Visitor) -> None:
    latest = pages.moment(place.ctx.now() + place.ctx.settings.grant_lifetime)
    page = await visitor.get(place.url())
    assert f"{latest} at the latest, or 30 days after its last use" in page.text
    client = await place.register(Web.WEB, grant_types=["authorization_code"])
    page = await visitor.get(place.url(client))
    assert "1 hour; then the client has to ask again" in page.text


async def test_site_and_policy_are_text(place: Place, visitor: Visitor) -> None:
    site, policy = "https://client.example/about", "https://client.example/privacy"
    client = await place.register(Web.WEB, client_uri=site, policy_uri=policy)
    page = await visitor.get(place.url(client))
    assert f"Site: {site}" in page.text
    assert f"Privacy policy: {policy}" in page.text
    assert not {site, policy} & set(Web.links(page))


async def test_a_phone_gets_a_code_where_it_can_open_the_address(open_place: OpenPlace) -> None:
    place = await open_place(base_domain="example.com")
    page = bytes(pages.server_page(place.ctx, "https://time.example.com/mcp").body).decode()
    assert "QR code of the address of time" in page
    assert "style=" not in page  # the policy would not let it be applied
    local = await open_place()
    assert "QR code" not in bytes(pages.server_page(local.ctx, TIME).body).decode()
    assert qr_code("https://example.com/" + "x" * 200) == ""
