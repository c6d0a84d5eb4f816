"""ACME_EMAIL switches on https: http is redirected, and a certificate authority is asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.compose.engine import Engine
from tests.compose.stack import Stack, free_port, start_compose
from tests.compose.test_doctor import doctor, named

pytestmark = [pytest.mark.compose, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def https_stack(engine: Engine, images: dict[str, str], folder: Path) -> Iterator[Stack]:
    """With a certificate authority that is not there, so that Traefik stays with its own certificate."""
    nowhere = f"https://127.0.0.1:{free_port()}/directory"
    settings = {
        "PUBLIC_URL": "https://gw.localhost",
        "ACME_EMAIL": "me@gw.localhost",
        "ACME_CA_SERVER": nowhere,
    }
    with start_compose(engine, images, folder, "one host", **settings) as running:
        yield running


def get(stack: Stack, scheme: str, path: str) -> httpx.Response:
    """As a client sees it that reaches the usual ports, which the tests do not take."""
    port = stack.port if scheme == "http" else stack.https_port
    headers = {"Host": "gw.localhost"}
    return httpx.get(f"{scheme}://gw.localhost:{port}{path}", headers=headers, verify=False, timeout=60)


def test_http_is_redirected_before_anything_else(https_stack: Stack) -> None:
    for path in ("/time/mcp", "/authorize", "/.well-known/oauth-authorization-server"):
        answer = get(https_stack, "http", path)
        assert answer.status_code in (301, 308)
        assert answer.headers["location"] == f"https://gw.localhost{path}"


def test_https_is_gated_like_http(https_stack: Stack) -> None:
    metadata = get(https_stack, "https", "/.well-known/oauth-authorization-server")
    assert metadata.json()["issuer"] == "https://gw.localhost"
    refused = get(https_stack, "https", "/time/mcp")
    assert refused.status_code == 401
    assert (
        "https://gw.localhost/.well-known/oauth-protected-resource/time/mcp"
        in refused.headers["www-authenticate"]
    )


def test_the_certificate_authority_is_asked_for_the_public_name(https_stack: Stack) -> None:
    get(https_stack, "https", "/time/mcp")
    logs = https_stack.compose("logs", "--no-log-prefix", "traefik")
    assert "gw.localhost" in logs
    assert "acme" in logs.lower()


def test_the_doctor_says_that_no_certificate_came_and_that_the_address_leads_elsewhere(
    https_stack: Stack,
) -> None:
    """Nothing of this gateway is at the usual port."""
    found = doctor(https_stack)
    assert "let gw.localhost lead to this machine" in named(found, "tls", "no certificate for gw")["cure"]
    assert any(one["state"] == "wrong" and one["hop"] in ("url", "tls") for one in found)
    assert [one["what"] for one in found if one["hop"] == "edge"] == ["leads to the authorization server"]
    assert any(one["what"].startswith("time: challenge") and one["state"] == "well" for one in found)
