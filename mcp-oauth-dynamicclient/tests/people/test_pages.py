"""What every page has in common, and the page at a server's URL."""

from __future__ import annotations

import json
import shlex

import pytest
from mcp_oauth_dynamicclient import pages
from mcp_oauth_dynamicclient.pages.connect import ways_to_connect
from mcp_oauth_dynamicclient.pages.rendering import form_source

from .support import OpenPlace, Place, Visitor

TIME = "https://time.example.com/mcp"


async def test_the_stylesheet_is_the_only_file_and_may_be_cached_for_good(
    place: Place, visitor: Visitor
) -> None:
    page = await visitor.get("/")
    href = page.text.partition('rel="stylesheet" href="')[2].partition('"')[0]
    style = await visitor.http.get(href)
    assert style.headers["content-type"].startswith("text/css")
    assert "immutable" in style.headers["cache-control"]
    assert "prefers-color-scheme: dark" in style.text
    assert "url(" not in style.text
    assert len(style.content) < 16_000


async def test_the_landing_page_shows_the_shape_of_addresses(open_place: OpenPlace) -> None:
    one_host = await (await (await open_place()).visitor()).get("/")
    assert "http://localhost:8080/NAME/mcp" in one_host.text
    subdomains = await (await (await open_place(base_domain="example.com")).visitor()).get("/")
    assert "https://NAME.example.com/mcp" in subdomains.text


async def test_a_servers_page_keeps_the_challenge_and_its_status(place: Place) -> None:
    response = pages.server_page(
        place.ctx, place.time, status=401, headers={"WWW-Authenticate": "Bearer resource_metadata=x"}
    )
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer resource_metadata=x"
    assert place.time in bytes(response.body).decode()


async def test_the_page_of_another_host_may_load_only_the_issuers_stylesheet(open_place: OpenPlace) -> None:
    place = await open_place(base_domain="example.com")
    response = pages.server_page(place.ctx, TIME)
    policy = response.headers["content-security-policy"]
    assert "style-src https://auth.example.com;" in policy
    assert 'href="https://auth.example.com/static/style.css' in bytes(response.body).decode()


def test_every_client_is_told_with_lines_that_work_as_they_are() -> None:
    ways = {way.client: way for way in ways_to_connect("time", TIME)}
    assert list(ways) == [
        "Claude", "Claude Code", "ChatGPT", "VS Code", "Cursor", "Any stdio client, through the bridge",
    ]  # fmt: skip
    assert shlex.split(ways["Claude Code"].steps[0].code) == [
        "claude", "mcp", "add", "--transport", "http", "time", TIME,
    ]  # fmt: skip
    program, option, entry = shlex.split(ways["VS Code"].steps[0].code)
    assert (program, option) == ("code", "--add-mcp")
    assert json.loads(entry) == {"name": "time", "type": "http", "url": TIME}
    assert json.loads(ways["Cursor"].steps[0].code) == {"mcpServers": {"time": {"url": TIME}}}
    bridge = json.loads(ways["Any stdio client, through the bridge"].steps[1].code)
    assert bridge["mcpServers"]["time"] == {"command": "mcp-streamablehttp-client", "args": [TIME]}
    assert not any(way.note for way in ways.values())


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:8080/time/mcp",
        "https://time.localhost/mcp",
        "https://192.168.1.2/time/mcp",
        "http://time.example.com/mcp",
    ],
)
def test_clients_that_connect_from_elsewhere_are_marked_when_they_cannot(url: str) -> None:
    ways = ways_to_connect("time", url)
    assert [way.client for way in ways if way.note] == ["Claude", "ChatGPT"]
    assert ways[0].client == "Claude Code"


def test_a_nested_name_becomes_one_word() -> None:
    assert " tools-time " in ways_to_connect("tools/time", TIME)[1].steps[0].code


@pytest.mark.parametrize(
    ("url", "source"),
    [
        ("https://claude.ai/api/mcp/auth_callback", "https://claude.ai"),
        ("http://127.0.0.1:33418/", "http://127.0.0.1:33418"),
        ("http://localhost/callback", "http://localhost"),
        ("http://[::1]:5000/callback", "http://*:5000"),
        ("cursor://anysphere.cursor-mcp/oauth/callback", "cursor:"),
    ],
)
def test_form_action_names_no_more_than_the_target(url: str, source: str) -> None:
    assert form_source(url) == source


async def test_errors_of_pages_are_pages(place: Place, visitor: Visitor) -> None:
    for response in (
        await visitor.http.post("/consent", content=b"{}", headers={"content-type": "application/json"}),
        await visitor.http.post("/login", data={"flow": ""}),
        await visitor.http.get("/login/nobody"),
        await visitor.http.post("/account", content=b"\xff"),
        await visitor.http.post("/device", data={"decision": "explode"}),
    ):
        assert response.status_code == 400
        assert response.headers["content-type"].startswith("text/html")
        assert "Traceback" not in response.text
