"""What a browser sees at the gateway's addresses."""

from __future__ import annotations

import httpx
import pytest

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
        assert "<script" not in response.text
