"""Attacks known from other gateways that no other test performs; docs/security.md lists them all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .support import Served

SERVER = "http://localhost:8080/time/mcp"
ECHO = "http://localhost:8080/echo/mcp"
DOCUMENT = "https://client.example/oauth/client.json"
CALLBACK = "https://client.example/callback"

MISLEADING = {
    "X-Forwarded-Prefix": "/echo", "X-Forwarded-Path": "/echo/mcp", "X-Original-Url": "/echo/mcp",
    "X-Rewrite-Url": "/echo/mcp", "X-Original-Host": "echo.example", "X-Forwarded-Server": "evil.example",
    "X-Forwarded-Port": "1", "Forwarded": "host=evil.example;proto=https", "X_Forwarded_Uri": "/echo/mcp",
    "X_Forwarded_Host": "evil.example", "X-Auth-Request-User": "evil", "X-User-Id": "evil",
}  # fmt: skip


@pytest.mark.parametrize("name", MISLEADING)
async def test_only_the_edges_three_headers_say_what_was_asked(served: Served, name: str) -> None:
    """GHSA-6384-m2mw-rf54 and its relatives: a header that another program believes changes nothing here."""
    echo = await served.app.token(resource=ECHO)
    headers = {name: MISLEADING[name]}

    async def verify(path: str) -> Any:
        edge = {"X-Forwarded-Method": "POST", "X-Forwarded-Host": "localhost:8080", "X-Forwarded-Uri": path}
        bearer = {"Authorization": f"Bearer {echo}"}
        return await served.http.get("/verify", headers=headers | edge | bearer)

    assert (await verify("/time/mcp")).status_code == 401
    admitted = await verify("/echo/mcp")
    assert admitted.status_code == 200
    assert admitted.headers["x-user-id"] == "local:ada"
    document = await served.http.get("/.well-known/oauth-authorization-server", headers=headers)
    assert document.json() == served.metadata


async def test_addresses_that_are_only_for_people_are_never_fetched(served: Served) -> None:
    """SSRF by the many URLs of client metadata: one document is fetched, and nothing that it names."""
    inside = "http://169.254.169.254/latest/meta-data"
    named: dict[str, Any] = dict.fromkeys(("client_uri", "logo_uri", "tos_uri", "policy_uri"), inside)
    named |= {"sector_identifier_uri": inside, "software_statement": inside, "request_uris": [inside]}
    served.web[DOCUMENT] = {
        "client_id": DOCUMENT, "client_name": "Client", "redirect_uris": [CALLBACK],
        "token_endpoint_auth_method": "none",
    } | named  # fmt: skip
    page = await served.person.open(served.authorize_url(DOCUMENT, "A" * 43))
    assert page.status_code == 200
    assert 'src="http' not in page.text
    registered = await served.register(**named)
    await served.tokens(registered)
    assert served.fetched == [DOCUMENT]


@pytest.mark.parametrize("text", ["a\r\nX-Injected: yes", 'a", error="none', "a\u2028b\x1b[31m", "{}\n{}"])
async def test_what_a_client_sends_breaks_no_log_line_and_no_header(
    served: Served, text: str, tmp_path: Path
) -> None:
    """Log injection and response splitting."""
    form = {"grant_type": "refresh_token", "refresh_token": text, "client_id": text}
    refused = await served.http.post(served.metadata["token_endpoint"], data=form)
    assert refused.status_code == 401
    assert "x-injected" not in refused.headers
    safe = text.encode("latin-1", "replace").replace(b"\r", b"").replace(b"\n", b"").decode("latin-1")
    challenged = await served.app.forward(SERVER, safe.replace("\x1b", ""))
    assert challenged.status_code == 401
    assert challenged.headers["www-authenticate"].count('error="') == 1
    lines = (tmp_path / "audit.log").read_text().split("\n")
    events = [json.loads(line)["event"] for line in lines if line]
    assert "client.authenticate" in events


async def test_a_picture_of_the_client_cannot_watch_the_person(served: Served) -> None:
    """The consent page loads nothing from elsewhere, whatever the client is called or shows."""
    client = await served.register(
        client_name='<img src="https://evil.example/x.png">', logo_uri="https://evil.example/x.png"
    )
    page = await served.person.open(served.authorize_url(client["client_id"], "A" * 43))
    assert "<img" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "img-src https:" not in page.headers["content-security-policy"]
