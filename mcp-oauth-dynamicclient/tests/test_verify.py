"""ForwardAuth: what the edge is told about each request (RFC 6750, RFC 9728; guarantee 4)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import unquote

import httpx
import pytest
from fastapi import FastAPI
from mcp_oauth_dynamicclient.errors import StoreUnavailableError
from mcp_oauth_dynamicclient.grants import grant as grants
from mcp_oauth_dynamicclient.records import Account, Identity
from mcp_oauth_dynamicclient.store import Store

from .support import App, Clock, MakeApp

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
async def test_a_token_opens_its_server_and_the_server_learns_who_it_is(app: App, method: str) -> None:
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
    headers = dict(response.headers)
    statement = await app.ctx.statements.read(headers.pop("x-gateway-identity"))
    assert (statement["aud"], statement["sub"]) == (TIME, "local:ada")
    assert headers == {
        "content-length": "0",
        "x-user-id": "local:ada", "x-user-name": "ada", "x-client-id": "client_1",
    }  # fmt: skip


async def test_nothing_that_could_be_used_again_is_passed_on(app: App) -> None:
    token = await app.token()
    response = await app.forward(TIME, token)
    assert "authorization" not in response.headers
    assert not any(part in str(response.headers) for part in token.split("."))


async def test_a_machine_is_named_as_its_client(app: App) -> None:
    token = await app.token(identity=None, client_id="robot", client_name="Robot")
    headers = (await app.forward(TIME, token)).headers
    assert headers["x-user-id"] == "client:robot"
    assert headers["x-user-name"] == "Robot"
    assert headers["x-client-id"] == "robot"


@pytest.mark.parametrize(
    "login", ["Zoë", "a\r\nX-User-Id: evil", "100%", "日本", "x\x00y\x7f", " a ", "a\u2028b"]
)
async def test_identity_values_are_safe_in_a_header_and_can_be_read_back(
    make_app: MakeApp, login: str
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


async def test_no_credentials_are_answered_with_a_challenge_without_error(app: App) -> None:
    response = await app.forward(TIME)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == CHALLENGE
    assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("authorization", ["", "Basic YTpi", "Bearer", "token abc", "Bearerx"])
async def test_another_scheme_is_no_credentials(app: App, authorization: str) -> None:
    response = await app.forward(TIME, Authorization=authorization)
    assert response.status_code == 401
    if authorization != "Bearer":
        assert response.headers["www-authenticate"] == CHALLENGE


async def test_a_token_in_the_address_is_no_credentials(app: App) -> None:
    token = await app.token()
    response = await app.forward(f"{TIME}?access_token={token}")
    assert response.headers["www-authenticate"] == CHALLENGE


async def test_a_token_that_is_none_of_ours_is_invalid(app: App) -> None:
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


async def test_a_token_for_one_server_is_refused_at_another(app: App) -> None:
    token = await app.token(resource=ECHO)
    assert (await app.forward(ECHO, token)).status_code == 200
    assert is_challenge(
        await app.forward(TIME, token), "invalid_token", "The access token is for another server."
    )
    nested = "http://localhost:8080/echo/sub/mcp"
    assert (await app.forward(nested, token)).status_code == 401


async def test_a_token_that_names_no_server_opens_every_one(app: App) -> None:
    token = await app.token(resource=None)
    assert (await app.forward(TIME, token)).status_code == 200
    assert (await app.forward(ECHO, token)).status_code == 200


async def test_an_expired_token_is_refused(app: App, clock: Clock) -> None:
    token = await app.token()
    assert (await app.forward(TIME, token)).status_code == 200
    clock.advance(3600)
    assert is_challenge(await app.forward(TIME, token), "invalid_token", "The access token has expired.")


async def test_a_token_without_the_scope_is_403(app: App) -> None:
    token = await app.token(scope="other")
    sentence = "The access token lacks the scope mcp."
    assert is_challenge(await app.forward(TIME, token), "insufficient_scope", sentence, 403)


# --- what was taken back --------------------------------------------------------------------------------

REVOKED = "The access token has been revoked."
REMOVED = "This person is not admitted here any more."


async def test_a_revoked_grant_is_refused_at_the_next_request(app: App) -> None:
    grant = await app.grant()
    token = await app.token(grant)
    assert (await app.forward(TIME, token)).status_code == 200
    await grants.revoke(app.ctx, grant.grant_id, "test")
    assert is_challenge(await app.forward(TIME, token), "invalid_token", REVOKED)


async def test_the_grants_of_a_deleted_client_are_refused_at_the_next_request(app: App) -> None:
    token = await app.token()
    assert (await app.forward(TIME, token)).status_code == 200
    await grants.revoke_client(app.ctx, "client_1", "deleted")
    assert is_challenge(await app.forward(TIME, token), "invalid_token", REVOKED)


async def test_a_single_revoked_token_is_refused_and_its_sibling_is_not(app: App) -> None:
    grant = await app.grant()
    one, two = await app.token(grant), await app.token(grant)
    assert (await app.forward(TIME, one)).status_code == 200
    claims = await app.ctx.tokens.verify(one)
    await app.ctx.store.put("revoked", claims["jti"], {}, expires_at=claims["exp"])
    assert is_challenge(await app.forward(TIME, one), "invalid_token", REVOKED)
    assert (await app.forward(TIME, two)).status_code == 200


@pytest.mark.parametrize("change", ["removed", "disabled"])
async def test_a_local_account_that_was_taken_away_is_refused_at_the_next_request(
    app: App, change: str
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
    make_app: MakeApp,
) -> None:
    github = {"github_client_id": "id", "github_client_secret": "secret"}
    before = await make_app(**github, allowed_github_users="octocat,other")
    identity = Identity(provider="github", subject="1", login="octocat")
    token = await before.token(identity=identity)
    assert (await before.forward(TIME, token)).status_code == 200
    after = await make_app(**github, allowed_github_users="other")
    assert is_challenge(await after.forward(TIME, token), "invalid_token", REMOVED)


async def test_another_replica_refuses_within_a_second(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
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
    app: App, store: Store, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    token = await app.token()

    async def away(*_: object) -> None:
        raise StoreUnavailableError

    with monkeypatch.context() as patch:
        patch.setattr(store, "get", away)
        response = await app.forward(TIME, token)
        assert response.status_code == 503
        assert response.headers["retry-after"] == "2"
        assert response.json()["error"] == "temporarily_unavailable"
        assert "www-authenticate" not in response.headers
        assert (await app.forward(TIME)).status_code == 401
    assert (await app.forward(TIME, token)).status_code == 200


async def test_while_the_keys_cannot_be_read_the_answer_is_503(
    app: App, store: Store, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    token = await app.token()
    clock.advance(1)

    async def away(*_: object) -> AsyncIterator[None]:
        if clock():
            raise StoreUnavailableError
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
async def test_an_address_outside_the_base_is_400_with_or_without_token(app: App, url: str) -> None:
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
    app: App, path: str
) -> None:
    token = await app.token(resource=None)
    headers = {"x-forwarded-host": "localhost:8080", "x-forwarded-uri": path, "x-forwarded-method": "OPTIONS"}
    for method in ("POST", "OPTIONS"):
        headers |= {"x-forwarded-method": method, "authorization": f"Bearer {token}"}
        assert (await app.http.get("/verify", headers=headers)).status_code == 404


async def test_the_host_that_matters_is_the_forwarded_one(app: App) -> None:
    response = await app.http.get("/verify", headers={"Host": "localhost:8080"})
    assert response.status_code == 400
    assert "X-Forwarded-Host" in response.json()["error_description"]


@pytest.mark.parametrize(
    "name", ["X-Forwarded-Host", "X-Forwarded-Uri", "X-Forwarded-Method", "Authorization"]
)
async def test_a_repeated_header_is_refused(app: App, name: str) -> None:
    token = await app.token()
    headers = [
        ("X-Forwarded-Host", "localhost:8080"), ("X-Forwarded-Uri", "/time/mcp"),
        ("X-Forwarded-Method", "POST"), ("Authorization", f"Bearer {token}"),
    ]  # fmt: skip
    assert (await app.http.get("/verify", headers=headers)).status_code == 200
    again = dict(headers)[name]
    refused = await app.http.get("/verify", headers=[*headers, (name, again)])
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request")
    assert name in refused.json()["error_description"]


@pytest.mark.parametrize("domain", ["example.com", None])
@pytest.mark.parametrize("of_nginx", [False, True])
async def test_an_edge_may_name_the_server_in_the_address_it_asks_at(
    make_app: MakeApp, domain: str | None, of_nginx: bool
) -> None:
    """GEP-1494: what Envoy and nginx send for `externalAuth.http.path: /verify/at/time`."""
    app = await make_app(**({"base_domain": domain} if domain else {}))
    time, echo = [app.ctx.resources.of_server(name) for name in ("time", "echo")]
    other_host = httpx.URL(echo).netloc.decode()

    async def ask(method: str, path: str, *headers: tuple[str, str]) -> httpx.Response:
        sent = [("Host", other_host), *headers]
        if of_nginx:
            return await app.http.get("/verify/at/time", headers=[*sent, ("Path", path), ("Method", method)])
        return await app.http.request(method, f"/verify/at/time{path}", headers=sent)

    bearer = ("Authorization", f"Bearer {await app.token(resource=time)}")
    path = httpx.URL(time).path
    for method in ("GET", "POST", "DELETE", "OPTIONS", "X"):
        allowed = await ask(method, f"{path}?a=%2F", bearer)
        assert (allowed.status_code, allowed.headers["x-user-id"]) == (200, "local:ada")
        challenged = await ask(method, path)
        assert challenged.status_code == 401
        assert app.ctx.resources.metadata_url(time) in challenged.headers["www-authenticate"]
    foreign = ("Authorization", f"Bearer {await app.token(resource=echo)}")
    believed = [("X-Forwarded-Host", other_host), ("X-Forwarded-Uri", httpx.URL(echo).path)]
    for headers in ([foreign], [foreign, *believed], believed):
        assert (await ask("POST", path, *headers)).status_code == 401
    preflight = ("Access-Control-Request-Method", "POST")
    refused = 401 if of_nginx else 405
    assert (await ask("OPTIONS", path, preflight)).status_code == refused
    if not of_nginx:
        for repeated in ([preflight], [preflight, preflight], [("Access-Control-Request-Method", "-")]):
            told = await ask("OPTIONS", path, bearer, *repeated)
            assert (told.status_code, "x-gateway-identity" in told.headers) == (405, False)
    for nowhere in ("/", "/health", "/.well-known/x", "/x", f"/..{path}", f"/{path}", f"{path}/%2e%2e", ""):
        assert (await ask("POST", nowhere, bearer)).status_code in (400, 404), nowhere
    if domain is None:
        assert (await ask("POST", httpx.URL(echo).path, foreign)).status_code == 404


async def test_an_edge_that_says_it_in_headers_says_it_once(app: App) -> None:
    bearer = ("Authorization", f"Bearer {await app.token()}")
    said = [("Path", "/time/mcp"), ("Method", "POST")]
    assert (await app.http.get("/verify/at/time", headers=[bearer, *said])).status_code == 200
    for missing in said:
        answer = await app.http.get("/verify/at/time", headers=[bearer, missing])
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    for twice in (bearer, *said):
        answer = await app.http.get("/verify/at/time", headers=[bearer, *said, twice])
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert (await app.http.delete("/verify/at/time", headers=[bearer, *said])).status_code == 405
    assert (await app.http.get("/verify/at/-", headers=[bearer, *said])).status_code == 404


@pytest.mark.parametrize("below", ["", "/auth", "/a b/é"])
async def test_an_edge_may_ask_below_the_path_at_which_an_application_mounts_this_one(
    app: App, below: str
) -> None:
    outer = FastAPI()
    outer.mount(below or "/", app.gateway)
    token = await app.token()
    bearer = {"Authorization": f"Bearer {token}"}
    said = {"X-Forwarded-Host": "localhost:8080", "X-Forwarded-Uri": "/time/mcp"}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(outer), base_url="http://localhost:8000"
    ) as http:
        for path, headers in (
            ("/verify", said),
            ("/verify/server", said),
            ("/verify/at/time", {"Path": "/time/mcp", "Method": "POST"}),
            ("/verify/at/time/time/mcp", {}),
        ):
            assert (await http.get(below + path, headers=headers)).status_code == 401
            allowed = await http.get(below + path, headers=headers | bearer)
            assert (allowed.status_code, allowed.headers["x-user-id"]) == (200, "local:ada"), path
        assert (await http.get(f"{below}/verify/at/echo/echo/mcp", headers=bearer)).status_code == 401
        assert (
            await http.get(f"{below}/verify/server", headers=said | {"X-Forwarded-Uri": "/time/health"})
        ).status_code == 404


async def test_an_internal_address_in_disguise_is_none(make_app: MakeApp) -> None:
    """An edge that compares paths as they were written passes these on to the authorization server's host."""
    app = await make_app(base_domain="example.com")
    said = [("Authorization", f"Bearer {await app.token(resource=app.ctx.resources.of_server('time'))}")]
    said += [("Path", "/mcp"), ("Method", "POST"), ("X-Forwarded-Host", "time.example.com")]
    said += [("X-Forwarded-Uri", "/mcp")]
    for plain in ("/verify/at/time", "/verify", "/internal/identity/keys", "/live", "/metrics"):
        for letter in plain[1:4]:
            path = plain.replace(letter, f"%{ord(letter):02x}", 1)
            answer = await app.http.get(path, headers=said)
            assert answer.status_code == 404, path
            assert "x-gateway-identity" not in answer.headers
    assert (await app.http.get("/verify%2fat/time", headers=said)).status_code == 404
    assert (await app.http.get("/verify/at/time", headers=said)).status_code == 200
    assert (await app.http.get("/verify/at/time/mcp?a=%20", headers=said)).status_code == 200
    assert (await app.http.get("/live")).status_code == 200


async def test_subdomains_are_told_apart(make_app: MakeApp) -> None:
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


async def test_a_preflight_passes_with_nothing(app: App) -> None:
    token = await app.token()
    asks = {"Access-Control-Request-Method": "POST", "Cookie": "session=1"}
    for given in (None, token, "junk"):
        response = await app.forward(TIME, given, "OPTIONS", **asks)
        assert response.status_code == 200
        assert dict(response.headers) == {"content-length": "0"}


async def test_options_that_are_no_preflight_need_a_token(app: App) -> None:
    assert (await app.forward(TIME, method="OPTIONS")).status_code == 401
    assert (await app.forward(TIME, await app.token(), "OPTIONS")).status_code == 200
    for asks in ("", "POST, GET", "x y"):
        response = await app.forward(TIME, None, "OPTIONS", Access_Control_Request_Method=asks)
        assert response.status_code == 401
    assert (await app.forward(TIME, Access_Control_Request_Method="POST")).status_code == 401


@pytest.mark.parametrize(
    "path",
    ["/time/mcp", "/time/mcp/", "/time/mcp/a/b", "/time/sub/mcp", "/time/mcp/health", "/time/mcp/token"],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "QUERY", "x"])
async def test_a_servers_endpoint_needs_a_token_whatever_the_method_and_the_upgrade(
    app: App, method: str, path: str
) -> None:
    for more in ({}, {"Connection": "Upgrade", "Upgrade": "websocket"}, {"Upgrade": "anything"}):
        response = await app.forward(f"http://localhost:8080{path}", method=method, **more)
        assert response.status_code == 401


@pytest.mark.parametrize(
    "path",
    ["/time/mcp/.well-known/x", "/time/mcp/A/.well-known/x", "/time/healthx", "/time/health/x",
     "/time/sub/health", "/x.well-known/y", "/time/mcp/.well-known/openid-configuration/x"],
)  # fmt: skip
async def test_what_only_resembles_health_or_metadata_is_nothing(app: App, path: str) -> None:
    token = await app.token(resource=None)
    for given in (None, token):
        response = await app.forward(f"http://localhost:8080{path}", given)
        assert response.status_code in (401, 404)
        if path.startswith("/time/mcp/.well-known"):
            assert response.status_code == 404


@pytest.mark.parametrize(
    "path",
    ["/", "/token", "/register/client_1", "/authorize?x=1", "/callback/github", "/health", "/time/health",
     "/time", "/time/", "/.well-known/oauth-protected-resource/time/mcp", "/.well-known/x?y=../z",
     "/time/mcp/.well-known/openid-configuration"],
)  # fmt: skip
async def test_what_the_authorization_server_answers_passes_with_the_credentials_they_were_sent(
    app: App, path: str
) -> None:
    given = {"Authorization": "Basic YTpi", "Cookie": "session=1"}
    response = await app.forward(f"http://localhost:8080{path}", **given)
    assert response.status_code == 200
    assert dict(response.headers) == {
        "content-length": "0", "authorization": "Basic YTpi", "cookie": "session=1",
    }  # fmt: skip


@pytest.mark.parametrize(
    "path",
    ["/", "/token", "/health", "/time", "/time/", "/time/health", "/.well-known/x", "/time/mcp", "/nothing"],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
async def test_on_the_way_to_a_server_nothing_is_open(app: App, method: str, path: str) -> None:
    """An edge that asks there has read the address as a server's, whatever it is here."""
    asked = {
        "X-Forwarded-Method": method, "X-Forwarded-Host": "localhost:8080", "X-Forwarded-Uri": path,
        "Access-Control-Request-Method": "POST",
    }  # fmt: skip
    for token in (None, await app.token(resource=None)):
        credentials = {"Authorization": f"Bearer {token}"} if token else {}
        response = await app.http.get("/verify/server", headers=asked | credentials)
        expected = 404 if path != "/time/mcp" else 200 if token else 401
        assert response.status_code == expected
        assert ("x-gateway-identity" in response.headers) == (expected == 200)


async def test_the_authorization_servers_own_host_passes(make_app: MakeApp) -> None:
    app = await make_app(base_domain="example.com")
    assert (await app.forward("https://auth.example.com/anything", method="GET")).status_code == 200
    assert (await app.forward("https://auth.example.com/verify", method="GET")).status_code == 404
    assert (await app.forward("https://auth.example.com/metrics", method="GET")).status_code == 404
    assert (await app.forward("https://example.com/", method="GET")).status_code == 400


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_verify_itself_answers_get_head_and_post_only(app: App, method: str) -> None:
    response = await app.http.request(method, "/verify", headers={"X-Forwarded-Host": "localhost:8080"})
    assert response.status_code == 405
    assert response.headers["allow"] == "GET, HEAD, POST"


@pytest.mark.parametrize("spelling", ["", "/"])
async def test_the_challenge_names_the_metadata_of_the_address_as_it_was_asked(
    app: App, spelling: str
) -> None:
    response = await app.forward(TIME + spelling)
    metadata = response.headers["www-authenticate"].split('resource_metadata="')[1].split('"')[0]
    assert metadata == METADATA + spelling
    assert (await app.http.get(metadata)).json()["resource"] == TIME + spelling
    assert (await app.forward(TIME + spelling, await app.token())).status_code == 200


# --- origins ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "origin",
    ["https://claude.ai", "https://claude.com", "https://chatgpt.com", "https://vscode.dev",
     "https://insiders.vscode.dev", "https://github.dev",
     "https://1s6i0k0nv.vscode-cdn.net", "http://localhost:8080", "http://localhost:6274",
     "https://127.0.0.1", "http://[::1]:1"],
)  # fmt: skip
async def test_pages_of_browser_connectors_and_of_this_machine_may_call_servers(
    app: App, origin: str
) -> None:
    challenged = await app.forward(TIME, Origin=origin)
    assert challenged.status_code == 401
    assert challenged.headers["access-control-allow-origin"] == "*"
    assert "WWW-Authenticate" in challenged.headers["access-control-expose-headers"]
    assert (await app.forward(TIME, await app.token(), Origin=origin)).status_code == 200


@pytest.mark.parametrize(
    "origin",
    ["null", "https://evil.example", "http://claude.ai", "https://claude.ai:8443", "https://claude.ai.evil.example",
     "https://vscode-cdn.net", "https://evilvscode-cdn.net", "https://claude.ai, https://evil.example", "",
     "chrome-extension://abc", "file://", "https://user@claude.ai"],
)  # fmt: skip
async def test_a_page_that_will_be_refused_is_refused_before_anybody_signs_in(app: App, origin: str) -> None:
    for token in (None, await app.token()):
        response = await app.forward(TIME, token, Origin=origin)
        assert response.status_code == 403
        assert "www-authenticate" not in response.headers
        assert "access-control-allow-origin" not in response.headers
    metadata = "http://localhost:8080/.well-known/oauth-protected-resource/time/mcp"
    assert (await app.forward(metadata, Origin=origin)).status_code == 200


async def test_two_origins_are_believed_only_together(app: App) -> None:
    sent = [
        ("X-Forwarded-Host", "localhost:8080"), ("X-Forwarded-Uri", "/time/mcp"),
        ("Origin", "https://claude.ai"), ("Origin", "https://evil.example"),
    ]  # fmt: skip
    assert (await app.http.get("/verify", headers=sent)).status_code == 403
    assert (await app.http.get("/verify", headers=[sent[i] for i in (0, 1, 3, 2)])).status_code == 403


async def test_the_operator_chooses_the_origins(make_app: MakeApp) -> None:
    app = await make_app(allowed_origins="https://app.example:8443, https://*.example.org")
    for origin in ("https://app.example:8443", "https://a.example.org", "http://localhost:1"):
        assert (await app.forward(TIME, Origin=origin)).status_code == 401
    for origin in ("https://app.example", "https://claude.ai"):
        assert (await app.forward(TIME, Origin=origin)).status_code == 403


# --- what no answer could be given to ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "accept", ["text/html", "", "image/*, text/plain", "application/json;q=0", "*/*;q=0"]
)
async def test_a_message_whose_answer_the_client_will_not_take_is_refused_before_anybody_signs_in(
    app: App, accept: str
) -> None:
    for url in (TIME, f"{TIME}/"):
        for token in (None, await app.token(), "junk"):
            response = await app.forward(url, token, Accept=accept)
            assert response.status_code == 406
            assert "www-authenticate" not in response.headers
            error = response.json()["error"]
            assert error == {"code": -32600, "message": "Send Accept: application/json, text/event-stream."}
        for method in ("GET", "DELETE"):
            assert (await app.forward(url, None, method, Accept=accept)).status_code == 401
    below = f"{TIME}/files"
    assert (await app.forward(below, Accept=accept)).status_code == 401, "a server's own, whatever it is"


async def test_who_would_listen_takes_an_event_stream(app: App) -> None:
    listen = {"Mcp-Method": "subscriptions/listen"}
    assert (await app.forward(TIME, Accept="application/json", **listen)).status_code == 406
    assert (await app.forward(TIME, Accept="text/event-stream", **listen)).status_code == 401


async def test_no_accept_header_is_any(app: App) -> None:
    asked = {
        "X-Forwarded-Method": "POST",
        "X-Forwarded-Host": "localhost:8080",
        "X-Forwarded-Uri": "/time/mcp",
    }
    app.http.headers.pop("accept")
    assert (await app.http.get("/verify", headers=asked)).status_code == 401


@pytest.mark.parametrize(("one", "two"), [("text/html", "*/*"), ("text/html", "text/event-stream")])
async def test_accept_lines_count_together(app: App, one: str, two: str) -> None:
    asked = [
        ("X-Forwarded-Method", "POST"), ("X-Forwarded-Host", "localhost:8080"),
        ("X-Forwarded-Uri", "/time/mcp"),
    ]  # fmt: skip
    app.http.headers.pop("accept")
    for lines in ((one, two), (two, one)):
        sent = [*asked, *(("Accept", line) for line in lines)]
        assert (await app.http.get("/verify", headers=sent)).status_code == 401


# --- people and records ---------------------------------------------------------------------------------


async def test_a_browser_sees_how_to_connect_and_the_same_challenge(app: App) -> None:
    accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    response = await app.forward(TIME, method="GET", Accept=accept)
    assert response.status_code == 401
    assert response.headers["content-type"].startswith("text/html")
    assert response.headers["www-authenticate"] == CHALLENGE
    assert TIME in response.text


@pytest.mark.parametrize(
    "accept", ["application/json, text/event-stream", "*/*", "", "application/json, text/html"]
)
async def test_a_client_sees_json(app: App, accept: str) -> None:
    response = await app.forward(TIME, method="GET", Accept=accept)
    assert response.headers["content-type"] == "application/json"


async def test_each_tokens_first_use_and_every_refusal_is_in_the_audit_log(app: App, tmp_path: Path) -> None:
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


async def test_answers_are_counted(app: App) -> None:
    await app.forward(TIME, await app.token())
    await app.forward(TIME)
    await app.forward(TIME, "junk")
    metrics = (await app.http.get("/metrics")).text
    assert 'mcp_oauth_verify_total{outcome="allowed"} 1.0' in metrics
    assert 'mcp_oauth_verify_total{outcome="no token"} 1.0' in metrics
    assert 'mcp_oauth_verify_total{outcome="invalid_token"} 1.0' in metrics
    assert 'mcp_oauth_decisions_total{event="access",outcome="allowed"} 1.0' in metrics
