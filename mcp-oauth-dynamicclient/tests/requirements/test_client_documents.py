"""What a client known by its metadata document may do, and what its person is shown (MCP registration)."""

from __future__ import annotations

from typing import Any

import pytest

from .support import Served

DOCUMENT = "https://client.example/oauth/client.json"
CALLBACK = "https://client.example/callback"


def publish(served: Served, *redirect_uris: str, **changes: Any) -> None:
    document = {"client_id": DOCUMENT, "client_name": "Documented", "redirect_uris": list(redirect_uris)}
    served.web[DOCUMENT] = document | {"token_endpoint_auth_method": "none"} | changes


async def open_page(served: Served, **changes: str) -> Any:
    return await served.person.open(served.authorize_url(DOCUMENT, "A" * 43, **changes))


@pytest.mark.parametrize(
    "redirect_uri",
    [
        "https://client.example/other",
        "https://client.example.evil.example/callback",
        "http://127.0.0.1/callback",
    ],
)
async def test_only_a_redirect_of_the_document_is_used(served: Served, redirect_uri: str) -> None:
    publish(served, CALLBACK)
    page = await open_page(served, redirect_uri=redirect_uri)
    assert page.status_code == 400
    assert "location" not in page.headers
    assert "Approve" not in page.text


async def test_the_consent_page_shows_where_the_code_goes_and_whose_document_it_is(served: Served) -> None:
    elsewhere = "https://receiver.example/callback"
    publish(served, CALLBACK, elsewhere)
    page = await open_page(served, redirect_uri=elsewhere)
    for words in ("Documented", "receiver.example", "client.example", "http://localhost:8080/time/mcp"):
        assert words in page.text


async def test_a_client_that_can_only_be_on_this_computer_is_warned_about(served: Served) -> None:
    publish(served, "http://127.0.0.1/callback", "http://localhost/callback")
    page = await open_page(served, redirect_uri="http://localhost:4711/callback")
    assert "this computer (localhost:4711)" in page.text
    assert "Any program running on this computer" in page.text


async def test_a_document_about_another_client_identifies_nobody(served: Served) -> None:
    publish(served, CALLBACK, client_id=f"{DOCUMENT}?v=2")
    page = await open_page(served)
    assert page.status_code >= 400
    assert "Approve" not in page.text
