"""ForwardAuth: what the edge is told about each request (RFC 6750, RFC 9728; guarantee 4)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from mcp_oauth_dynamicclient.errors import StoreUnavailable
from mcp_oauth_dynamicclient.grants import grant as grants
from mcp_oauth_dynamicclient.records import Account, Identity

TIME = "http://localhost:8080/time/mcp"
ECHO = "http://localhost:8080/echo/mcp"
METADATA = "http://localhost:8080/.well-known/oauth-protected-resource/time/mcp"
CHALLENGE = f'Bearer resource_metadata="{METADATA}", scope="mcp"'


def is_challenge(response: httpx.Response, error: str, sentence: str, status: int = 401) -> bool:
    expected = f'Bearer error="{error}", error_description="{sentence}", '
    expected += f'resource_metadata="{METADATA}", scope="mcp"'
    assert response.status_code == status, response.text
    assert response.headers["www-authenticate"] == expected
    assert response.json() == {"error": error, "error_description": sentence}
    return True


# --- tokens ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
async def test_a_token_opens_its_server_and_the_server_learns_who_it_is(app: Any, method: str) -> None:
    token = await app.token()
    headers = {
        "X-Forwarded-Host": "localhost:8080",
        "X-Forwarded-Uri": "/time/mcp",
        "X-Forwarded-Method": "POST",
    }
    response = await app.http.request(
        method, "/verify", headers=headers | {"Authorization": f"bearer {token}"}
    )
    assert response.status_code == 200
    assert response.content == b""
    assert dict(response.headers) == {
        "content-length": "0",
        "x-user-id": "local:ada", "x-user-name": "ada", "x-client-id": "client_1",
    }  # fmt: skip


async def test_nothing_that_could_be_used_again_is_passed_on(app: Any) -> None:
    token = await app.token()
    response = await app.forward(TIME, token)
    assert "authorization" not in response.headers
    assert not any(part in str(response.headers) for part in token.split("."))


async def test_a_machine_is_named_as_its_client(app: Any) -> None:
    token = await app.token(identity=None, client_id="robot", client_name="Robot")
    headers = (await app.forward(TIME, token)).headers
    assert headers["x-user-id"] == "client:robot"
    assert headers["x-user-name"] == "Robot"
    assert headers["x-client-id"] == "robot"


@pytest.mark.parametrize(
    "login", ["Zoë", "a\r\nX-User-Id: evil", "100%", "日本", "x\x00y\x7f", " a ", "a\u2028b"]
)
async def test_identity_values_are_safe_in_a_header_and_can_be_read_back(
    make_app: Callable[..., Awaitable[Any]], login: str
) -> None:
    identity = Identity(provider="oidc", subject=login, login=login)
    oidc = {"oidc_issuer": "https://login.example", "oidc_client_id": "id", "oidc_client_secret": "secret"}
    app = await make_app(**oidc, allowed_oidc_users="*")
    response = await app.forward(TIME, await app.token(identity=identity))
    assert response.status_code == 200
    value = response.headers["x-user-name"]
    assert value.isascii()
    assert value.isprintable()
    assert unquote(value) == login.strip()
    assert response.headers["x-user-id"].startswith("oidc:")


async def test_no_credentials_are_answered_with_a_challenge_without_error(app: Any) -> None:
    response = await app.forward(TIME)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == CHALLENGE
    assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("authorization", ["", "Basic YTpi", "Bearer", "token abc", "Bearerx"])
async def test_another_scheme_is_no_credentials(app: Any, authorization: str) -> None:
    response = await app.forward(TIME, Authorization=authorization)
    assert response.status_code == 401
    if authorization != "Bearer":
        assert response.headers["www-authenticate"] == CHALLENGE


async def test_a_token_in_the_address_is_no_credentials(app: Any) -> None:
    token = await app.token()
    response = await app.forward(f"{TIME}?access_token={token}")
    assert response.headers["www-authenticate"] == CHALLENGE


async def test_a_token_that_is_none_of_ours_is_invalid(app: Any) -> None:
    for token in ("x", "a.b.c", "eyJhbGciOiJub25lIn0.e30.", "ü", "x" * 20000):
        response = await app.http.get(
            "/verify",
            headers={
                b"x-forwarded-host": b"localhost:8080", b"x-forwarded-uri": b"/time/mcp",
                b"authorization": b"Bearer " + token.encode(),
            },
        )  # fmt: skip
        sentence = response.json()["error_description"]
        assert "of this server" in sentence or "by this server" in sentence
        assert is_challenge(response, "invalid_token", sentence)


async def test_a_token_for_one_server_is_refused_at_another(app: Any) -> None:
    token = await app.token(resource=ECHO)
    assert (await app.forward(ECHO, token)).status_code == 200
    assert is_challenge(
        await app.forward(TIME, token), "invalid_token", "The access token is for another server."
    )
    nested = "http://localhost:8080/echo/sub/mcp"
    assert (await app.forward(nested, token)).status_code == 401


async def test_a_token_that_names_no_server_opens_every_one(app: Any) -> None:
    token = await app.token(resource=None)
    assert (await app.forward(TIME, token)).status_code == 200
    assert (await app.forward(ECHO, token)).status_code == 200


async def test_an_expired_token_is_refused(app: Any, clock: Any) -> None:
    token = await app.token()
    assert (await app.forward(TIME, token)).status_code == 200
    clock.advance(3600)
    assert is_challenge(await app.forward(TIME, token), "invalid_token", "The access token has expired.")


async def test_a_token_without_the_scope_is_403(app: Any) -> None:
    token = await app.token(scope="other")
    sentence = "The access token lacks the scope mcp."
    assert is_challenge(await app.forward(TIME, token), "insufficient_scope", sentence, 403)


# --- what was taken back --------------------------------------------------------------------------------

REVOKED = "The access token has been revoked."
REMOVED = "This person is not admitted here any more."


async def test_a_revoked_grant_is_refused_at_the_next_request(app: Any) -> None:
    grant = await app.grant()
    token = await app.token(grant)
    assert (await app.forward(TIME, token)).status_code == 200
    await grants.revoke(app.ctx, grant.grant_id, "test")
    assert is_challenge(await app.forward(TIME, token), "invalid_token", REVOKED)


async def test_the_grants_of_a_deleted_client_are_refused_at_the_next_request(app: Any) -> None:
    token = await app.token()
    assert (await app.forward(TIME, token)).status_code == 200
    await grants.revoke_client(app.ctx, "client_1", "deleted")
    assert is_challenge(await app.forward(TIME, token), "invalid_token", REVOKED)


async def test_a_single_revoked_token_is_refused_and_its_sibling_is_not(app: Any) -> None:
    grant = await app.grant()
    one, two = await app.token(grant), await app.token(grant)
    assert (await app.forward(TIME, one)).status_code == 200
    claims = await app.ctx.tokens.verify(one)
    await app.ctx.store.put("revoked", claims["jti"], {}, expires_at=claims["exp"])
    assert is_challenge(await app.forward(TIME, one), "invalid_token", REVOKED)
    assert (await app.forward(TIME, two)).status_code == 200


@pytest.mark.parametrize("change", ["removed", "disabled"])
async def test_a_local_account_that_was_taken_away_is_refused_at_the_next_request(
    app: Any, change: str
) -> None:
    token = await app.token()
    assert (await app.forward(TIME, token)).status_code == 200
    if change == "removed":
        await app.ctx.store.delete("account", "ada")
    else:
        account = Account(name="ada", password_hash="x", created_at=0, disabled=True)
        await app.ctx.store.put("account", "ada", account.model_dump())
    assert is_challenge(await app.forward(TIME, token), "invalid_token", REMOVED)


async def test_a_person_removed_from_the_rules_is_refused_with_a_live_token(
    make_app: Callable[..., Awaitable[Any]],
) -> None:
    github = {"github_client_id": "id", "github_client_secret": "secret"}
    before = await make_app(**github, allowed_github_users="octocat,other")
    identity = Identity(provider="github", subject="1", login="octocat")
    token = await before.token(identity=identity)
    assert (await before.forward(TIME, token)).status_code == 200
    after = await make_app(**github, allowed_github_users="other")
    assert is_challenge(await after.forward(TIME, token), "invalid_token", REMOVED)


async def test_another_replica_refuses_within_a_second(
    make_app: Callable[..., Awaitable[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    time = 1000.0
    monkeypatch.setattr("mcp_oauth_dynamicclient.store.recent.time.monotonic", lambda: time)
    one, two = await make_app(), await make_app()
    grant = await one.grant()
    token = await one.token(grant)
    assert (await two.forward(TIME, token)).status_code == 200
    await grants.revoke(one.ctx, grant.grant_id, "test")
    time += 0.99
    assert is_challenge(await two.forward(TIME, token), "invalid_token", REVOKED)


async def test_while_the_store_is_away_the_answer_is_503_neither_yes_nor_no(
    app: Any, store: Any, monkeypatch: pytest.MonkeyPatch, clock: Any
) -> None:
    token = await app.token()

    async def away(*_: object) -> None:
        raise StoreUnavailable

    with monkeypatch.context() as patch:
        patch.setattr(store, "get", away)
        response = await app.forward(TIME, token)
        assert response.status_code == 503
        assert response.headers["retry-after"] == "1"
        assert response.json()["error"] == "temporarily_unavailable"
        assert "www-authenticate" not in response.headers
        assert (await app.forward(TIME)).status_code == 401
    assert (await app.forward(TIME, token)).status_code == 200


async def test_while_the_keys_cannot_be_read_the_answer_is_503(
    app: Any, store: Any, monkeypatch: pytest.MonkeyPatch, clock: Any
) -> None:
    token = await app.token()
    clock.advance(1)

    async def away(*_: object) -> AsyncIterator[None]:
        if clock():
            raise StoreUnavailable
        yield

    monkeypatch.setattr(store, "list", away)
    assert (await app.forward(TIME, token)).status_code == 503


# --- addresses ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://evil.example/time/mcp", "http://localhost/time/mcp",
        "http://localhost:8080.evil.example/time/mcp", "http://evil@localhost:8080/time/mcp",
    ],
)  # fmt: skip
async def test_an_address_outside_the_base_is_400_with_or_without_token(app: Any, url: str) -> None:
    token = await app.token(resource=None)
    assert (await app.forward(url, token)).status_code == 400
    assert (await app.forward(url)).status_code == 400


@pytest.mark.parametrize(
    "path",
    [
        "/time/../echo/mcp", "/echo/mcp/../../time/mcp", "//time/mcp", "/time//mcp", "/time/%2e%2e/time/mcp",
        "/time%2fmcp", "/time/mcp/%2e%2e/x", "/time/mcp;x", "/time\\mcp",
        "/verify", "/metrics", "/time/other",
        "/health/../time/mcp", "/.well-known/../time/mcp", "/.well-known/%2e%2e/time/mcp", "*",
        "/token/../time/mcp", "/time/mcp/health/..", "/time/./mcp",
    ],
)  # fmt: skip
async def test_a_path_that_names_no_server_or_could_be_read_in_two_ways_is_refused_even_to_a_valid_token(
    app: Any, path: str
) -> None:
    token = await app.token(resource=None)
    headers = {"x-forwarded-host": "localhost:8080", "x-forwarded-uri": path, "x-forwarded-method": "OPTIONS"}
    for method in ("POST", "OPTIONS"):
        headers |= {"x-forwarded-method": method, "authorization": f"Bearer {token}"}
        assert (await app.http.get("/verify", headers=headers)).status_code == 404


async def test_the_host_that_matters_is_the_forwarded_one(app: Any) -> None:
    response = await app.http.get("/verify", headers={"Host": "localhost:8080"})
    assert response.status_code == 400
    assert "X-Forwarded-Host" in response.json()["error_description"]


@pytest.mark.parametrize(
    "name", ["X-Forwarded-Host", "X-Forwarded-Uri", "X-Forwarded-Method", "Authorization"]
)
async def test_a_repeated_header_is_refused(app: Any, name: str) -> None:
    token = await app.token()
    headers = [
        ("X-Forwarded-Host", "localhost:8080"), ("X-Forwarded-Uri", "/time/mcp"),
        ("X-Forwarded-Method", "POST"), ("Authorization", f"Bearer {token}"),
    ]  # fmt: skip
    assert (await app.http.get("/verify", headers=headers)).status_code == 200
    again = dict(headers)[name]
    assert (await app.http.get("/verify", headers=[*headers, (name, again)])).status_code == 400


async def test_subdomains_are_told_apart(make_app: Callable[..., Awaitable[Any]]) -> None:
    app = await make_app(base_domain="example.com")
    token = await app.token(resource="https://time.example.com/mcp")
    assert (await app.forward("https://time.example.com/mcp", token)).status_code == 200
    assert (await app.forward("http://TIME.example.com/mcp", token)).status_code == 200
    refused = await app.forward("https://echo.example.com/mcp", token)
    assert refused.status_code == 401
    assert (
        "https://echo.example.com/.well-known/oauth-protected-resource/mcp"
        in refused.headers["www-authenticate"]
    )
    assert (await app.forward("https://time.example.com.evil.com/mcp", token)).status_code == 400
    assert (await app.forward("https://time.example.com/elsewhere", token)).status_code == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("OPTIONS", "/time/mcp"), ("GET", "/time/health"),
        ("GET", "/.well-known/oauth-protected-resource/time/mcp"),
        ("GET", "/time/mcp/.well-known/openid-configuration"), ("GET", "/.well-known/x?y=../z"),
    ],
)  # fmt: skip
async def test_preflights_health_and_metadata_need_no_token_and_carry_no_identity(
    app: Any, method: str, path: str
) -> None:
    token = await app.token()
    for given in (None, token, "junk"):
        response = await app.forward(f"http://localhost:8080{path}", given, method)
        assert response.status_code == 200
        assert dict(response.headers) == {"content-length": "0"}


@pytest.mark.parametrize(
    "path", ["/time/mcp/health", "/time/sub/health", "/time/healthx", "/time/health/x", "/x.well-known/"]
)
async def test_what_only_resembles_health_or_metadata_needs_a_token(app: Any, path: str) -> None:
    response = await app.forward(f"http://localhost:8080{path}", method="GET")
    assert response.status_code in (401, 404)


@pytest.mark.parametrize(
    "path", ["/", "/token", "/register/client_1", "/authorize?x=1", "/callback/github", "/health"]
)
async def test_the_authorization_servers_own_endpoints_pass_with_the_credentials_they_were_sent(
    app: Any, path: str
) -> None:
    response = await app.forward(f"http://localhost:8080{path}", Authorization="Basic YTpi")
    assert response.status_code == 200
    assert response.headers["authorization"] == "Basic YTpi"
    assert "x-user-id" not in response.headers


async def test_the_authorization_servers_own_host_passes(make_app: Callable[..., Awaitable[Any]]) -> None:
    app = await make_app(base_domain="example.com")
    assert (await app.forward("https://auth.example.com/anything", method="GET")).status_code == 200
    assert (await app.forward("https://auth.example.com/verify", method="GET")).status_code == 404
    assert (await app.forward("https://auth.example.com/metrics", method="GET")).status_code == 404
    assert (await app.forward("https://example.com/", method="GET")).status_code == 400


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_verify_itself_answers_get_head_and_post_only(app: Any, method: str) -> None:
    response = await app.http.request(method, "/verify", headers={"X-Forwarded-Host": "localhost:8080"})
    assert response.status_code == 405
    assert response.headers["allow"] == "GET, HEAD, POST"


# --- people and records ---------------------------------------------------------------------------------


async def test_a_browser_sees_how_to_connect_and_the_same_challenge(app: Any) -> None:
    accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    for url in (TIME, "http://localhost:8080/time", "http://localhost:8080/time/"):
        response = await app.forward(url, method="GET", Accept=accept)
        assert response.status_code == 401
        assert response.headers["content-type"].startswith("text/html")
        assert response.headers["www-authenticate"] == CHALLENGE
        assert TIME in response.text


@pytest.mark.parametrize(
    "accept", ["application/json, text/event-stream", "*/*", "", "application/json, text/html"]
)
async def test_a_client_sees_json(app: Any, accept: str) -> None:
    response = await app.forward(TIME, method="GET", Accept=accept)
    assert response.headers["content-type"] == "application/json"


async def test_each_tokens_first_use_and_every_refusal_is_in_the_audit_log(app: Any, tmp_path: Path) -> None:
    token = await app.token()
    for _ in range(3):
        await app.forward(TIME, token)
    await app.forward(ECHO, token)
    await app.forward(TIME)
    await app.forward(TIME, "junk")
    text = (tmp_path / "audit.log").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    who = {"event": "access", "user": "local:ada", "client": "client_1"}
    for line in lines:
        del line["time"]
    assert lines == [
        who | {"outcome": "allowed", "resource": TIME},
        who | {"outcome": "refused", "resource": ECHO, "reason": "The access token is for another server."},
        {
            "event": "access",
            "outcome": "refused",
            "resource": TIME,
            "reason": "This is not a token of this server.",
        },
    ]
    assert token not in text


async def test_answers_are_counted(app: Any) -> None:
    await app.forward(TIME, await app.token())
    await app.forward(TIME)
    await app.forward(TIME, "junk")
    metrics = (await app.http.get("/metrics")).text
    assert 'mcp_oauth_verify_total{outcome="allowed"} 1.0' in metrics
    assert 'mcp_oauth_verify_total{outcome="no token"} 1.0' in metrics
    assert 'mcp_oauth_verify_total{outcome="invalid_token"} 1.0' in metrics
    assert 'mcp_oauth_decisions_total{event="access",outcome="allowed"} 1.0' in metrics
