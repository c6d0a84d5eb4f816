"""A token that was good once, against the running gateway: only its hour has passed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import httpx
from mcp_oauth_dynamicclient.keys import KeyRing
from mcp_oauth_dynamicclient.records import Grant
from mcp_oauth_dynamicclient.settings import load_settings
from mcp_oauth_dynamicclient.store import open_store
from mcp_oauth_dynamicclient.tokens import Tokens

from tests.conftest import LocalRun


async def issue(
    run: LocalRun, resource: str, now: Callable[[], float], public_url: str = "", store_url: str = ""
) -> str:
    """A token as the gateway would have issued it at that time: its keys, its store, a living grant."""
    settings = load_settings(
        public_url=public_url or f"http://localhost:{run.port}",
        gateway_secret=(run.state / "secret").read_text(),
        local_accounts=True,
        base_domain=None,
    )
    store = open_store(store_url or f"sqlite:///{run.state / 'auth.db'}")
    grant = Grant(
        grant_id=f"grant-{now()} {resource}",
        client_id="client",
        client_name="A machine",
        identity=None,
        resource=resource,
        scope="mcp",
        created_at=now(),
        last_used_at=now(),
    )
    await store.put("grant", grant.grant_id, grant.model_dump())
    tokens = Tokens(settings, KeyRing(settings, store), now)
    token, _ = await tokens.issue_access(grant, resource=resource, scope="mcp")
    await store.close()
    return token


def test_an_expired_token_is_refused_with_the_full_challenge(local_run: LocalRun) -> None:
    local_run.start()
    resource = f"http://localhost:{local_run.port}/time/mcp"

    def answer(now: Callable[[], float]) -> httpx.Response:
        token = asyncio.run(issue(local_run, resource, now))
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json, text/event-stream"}
        return httpx.post(
            resource, json={"jsonrpc": "2.0", "id": 1, "method": "ping"}, headers=headers, timeout=60
        )

    assert answer(time.time).status_code != 401
    expired = answer(lambda: time.time() - 7200)
    assert expired.status_code == 401
    challenge = expired.headers["www-authenticate"]
    assert 'error="invalid_token"' in challenge
    assert "expired" in challenge
    metadata = f"http://localhost:{local_run.port}/.well-known/oauth-protected-resource/time/mcp"
    assert f'resource_metadata="{metadata}"' in challenge
    assert 'scope="mcp"' in challenge
