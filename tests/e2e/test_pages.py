"""What a browser sees at the gateway's addresses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import httpx
import pytest

from tests.access import Access, list_tools
from tests.conftest import Gateway, Person


@pytest.mark.browser
async def test_a_servers_url_tells_how_to_connect_every_client(gateway: Gateway, person: Person) -> None:
    url = gateway.server("time")
    response = await person.page.goto(url)
    assert response is not None
    assert response.status == 401
    text = await person.page.text_content("body") or ""
    for client in ("Claude", "VS Code", "Cursor", "mcp-streamablehttp-client"):
        assert client in text
    assert url in text
    # The stylesheet is applied although the policy forbids everything that is not listed.
    background = await person.page.evaluate("getComputedStyle(document.body).fontFamily")
    assert background != '"Times New Roman"'


async def test_pages_carry_a_strict_policy(gateway: Gateway, http: httpx.AsyncClient) -> None:
    for url in (gateway.issuer + "/", gateway.server("time")):
        response = await http.get(url, headers={"Accept": "text/html"})
        policy = response.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe-inline" not in policy
        assert "frame-ancestors 'none'" in policy
        # The one script is ours, for copy buttons, and the policy lets nothing else run.
        nonce = policy.partition("script-src 'nonce-")[2].partition("'")[0]
        assert len(nonce) > 20
        assert response.text.count("<script") == response.text.count(f'<script nonce="{nonce}">') == 1


@pytest.mark.browser
@pytest.mark.parametrize(
    ("name", "tool"), [("time", "get_current_time"), ("fetch", "Fetch a page"), ("echo-stateless", "Echo")]
)
async def test_the_tools_of_a_server_are_on_the_page_once_a_signed_in_call_has_reached_it(
    gateway: Gateway,
    person: Person,
    obtain: Callable[[str], Awaitable[Access]],
    http: httpx.AsyncClient,
    name: str,
    tool: str,
) -> None:
    """An unmodified stdio server, and servers of ours."""
    access = await obtain(gateway.server(name))
    page, card = person.page, person.page.locator("li.card", has=person.page.get_by_text(access.resource))
    tools = card.locator("summary", has_text="tool")
    while True:  # the server tells the gateway after it has answered
        await list_tools(access, http)
        await page.goto(f"{gateway.issuer}/")
        if await tools.count():
            break
        await asyncio.sleep(0.1)
    await tools.click()
    assert tool in (await card.text_content() or "")
    assert await card.get_by_role("listitem").filter(has_text=tool).first.is_visible()
