"""A container that is killed comes back, and nobody has to sign in again."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.compose.stack import SHAPES, Stack
from tests.compose.test_stack import run_end_to_end_tests

pytestmark = [
    pytest.mark.compose,
    pytest.mark.timeout(1200),
    pytest.mark.parametrize("stack", SHAPES[:1], indirect=True, scope="session"),
]


def register(stack: Stack) -> str:
    answer = httpx.post(
        f"{stack.issuer}/register",
        json={
            "client_name": "Recovery test",
            "redirect_uris": ["http://127.0.0.1/callback"],
            "token_endpoint_auth_method": "none",
        },
        timeout=60,
    )
    assert answer.status_code == 201, answer.text
    return str(answer.json()["client_id"])


def known(stack: Stack, client: str) -> bool:
    """Whether the authorization server shows its consent page for this client."""
    query = {
        "response_type": "code",
        "client_id": client,
        "redirect_uri": "http://127.0.0.1/callback",
        "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        "code_challenge_method": "S256",
        "state": "s",
        "scope": "mcp",
        "resource": stack.server("time"),
    }
    answer = httpx.get(f"{stack.issuer}/authorize", params=query, timeout=60)
    return answer.status_code == 200 and "Recovery test" in answer.text


def test_killed_containers_come_back_and_clients_notice_nothing(stack: Stack, folder: Path) -> None:
    keys = httpx.get(f"{stack.issuer}/jwks", timeout=60).json()
    client = register(stack)
    assert known(stack, client)
    assert not known(stack, "another")
    for service in ("redis", "auth", "time", "echo-stateful", "traefik"):
        stack.kill(service)
    stack.wait_healthy()
    assert httpx.get(f"{stack.issuer}/jwks", timeout=60).json() == keys
    assert known(stack, client)
    run_end_to_end_tests(stack, folder, "test_sdk_client.py")
