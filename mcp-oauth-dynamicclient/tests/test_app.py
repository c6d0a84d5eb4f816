"""The application as a whole: health, errors in the standard's form, limits, CORS, and use as a library."""

from __future__ import annotations

import runpy
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import click
import httpx
import pytest
from mcp_oauth_dynamicclient import Settings, create_app
from mcp_oauth_dynamicclient.cli import main
from mcp_oauth_dynamicclient.errors import StoreUnavailableError
from mcp_oauth_dynamicclient.store import Store

from .support import SAFE_HEADERS, App, MakeApp


async def test_health_is_told_honestly(app: App, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    response = await app.http.get("/health")
    assert (response.status_code, response.json()) == (200, {"status": "healthy"})

    async def away() -> None:
        raise StoreUnavailableError

    monkeypatch.setattr(store, "ping", away)
    monkeypatch.setattr("mcp_oauth_dynamicclient.store.health.KNOWN_FOR", 0.0)
    response = await app.http.get("/health")
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) > 0
    assert response.json()["status"] == "unhealthy"
    assert "store cannot be reached" in response.json()["reason"]
    assert "mcp_oauth_store_up 0.0" in (await app.http.get("/metrics")).text


async def test_health_may_be_asked_by_everybody_yet_asks_the_store_once_a_second(
    app: App, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0

    async def ping() -> None:
        nonlocal asked
        asked += 1

    monkeypatch.setattr(store, "ping", ping)
    monkeypatch.setattr("mcp_oauth_dynamicclient.store.health.KNOWN_FOR", 60.0)
    for _ in range(20):
        assert (await app.http.get("/health")).status_code == 200
    assert asked <= 1


async def test_a_process_that_is_asked_to_end_says_so_before_it_does(app: App) -> None:
    assert (await app.http.get("/live")).status_code == 200
    app.gateway.ending = True
    assert (await app.http.get("/live")).status_code == 503
    assert (await app.http.get("/health")).status_code == 200


async def test_an_unreachable_store_is_503_everywhere(
    app: App, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object, **__: object) -> None:
        raise StoreUnavailableError

    for name in ("add", "put", "get", "take", "swap", "delete", "increment"):
        monkeypatch.setattr(store, name, away)
    registration = {"redirect_uris": ["https://client.example/cb"]}
    response = await app.http.post("/register", json=registration)
    assert response.status_code == 503
    assert response.json()["error"] == "temporarily_unavailable"
    assert int(response.headers["retry-after"]) > 0
    form = {"grant_type": "refresh_token", "client_id": "client_1", "refresh_token": "x"}
    assert (await app.http.post("/token", data=form)).status_code == 503


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/no/where", 404), ("DELETE", "/token", 405), ("GET", "/token", 405), ("POST", "/jwks", 405)],
)
async def test_the_frameworks_errors_have_the_standards_form(
    app: App, method: str, path: str, status: int
) -> None:
    response = await app.http.request(method, path)
    assert response.status_code == status
    assert set(response.json()) == {"error", "error_description"}
    assert response.json()["error"] == "invalid_request"


async def test_a_person_at_a_wrong_address_sees_a_page(app: App) -> None:
    response = await app.http.get("/no/where", headers={"Accept": "text/html"})
    assert response.status_code == 404
    assert response.headers["content-type"].startswith("text/html")


async def test_what_goes_wrong_here_is_a_server_error_without_a_trace(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken() -> None:
        raise RuntimeError("the secret is hunter2")

    monkeypatch.setattr(app.ctx.keys, "published", broken)
    response = await app.http.get("/jwks")
    assert response.status_code == 500
    assert response.json()["error"] == "server_error"
    assert "hunter2" not in response.text


async def test_what_goes_wrong_in_a_registration_is_told_to_the_log_as_well(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*args: object) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(app.ctx.clients, "register", broken)
    transport = httpx.ASGITransport(app.gateway, raise_app_exceptions=True)  # as a server sees it
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8080") as http:
        with pytest.raises(RuntimeError, match="a fault of ours"):
            await http.post("/register", json={"redirect_uris": ["http://localhost/"]})
    answer = await app.http.post("/register", json={"redirect_uris": ["http://localhost/"]})
    assert (answer.status_code, answer.json()["error"]) == (500, "server_error")


async def test_no_path_writes_into_the_log(
    app: App, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def away(*_: object) -> None:
        raise StoreUnavailableError from OSError("away\nforged")

    monkeypatch.setattr(type(app.ctx.tables.clients), "get", away)
    for path in ("/register/%1b[2J%0aforged%c2%9b", "/register/another"):
        answer = await app.http.get(path, headers={"Authorization": "Bearer reg-x"})
        assert answer.status_code == 503
    [told] = [record.getMessage() for record in caplog.records if record.name.endswith(".app")]
    assert "away?forged" in told
    assert told.isascii()
    assert told.isprintable()


@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_that_is_too_large_is_refused_before_it_is_whole(app: App, announced: bool) -> None:
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 1
            yield b"x" * 10_000

    content: Any = b"x" * 10_000_000 if announced else body()
    for path in ("/token", "/register"):
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        response = await app.http.post(path, content=content, headers=headers)
        assert response.status_code == 413
        assert response.json()["error"] in ("invalid_request", "invalid_client_metadata")
        content = b"x" * 10_000_000 if announced else body()


async def test_every_answer_has_safe_headers(app: App) -> None:
    for path in ("/health", "/jwks", "/nowhere", "/.well-known/oauth-authorization-server"):
        headers = (await app.http.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "cache-control" in headers
        assert "strict-transport-security" not in headers


@pytest.mark.parametrize("broken", ["resources", "servers", "tokens", "keys"])
async def test_an_answer_to_a_fault_of_ours_has_safe_headers_too(
    app: App, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    token = await app.token()

    def fault(*_: object) -> None:
        raise RuntimeError("the secret is hunter2")

    names = {"resources": "read", "servers": "presence", "tokens": "verify", "keys": "published"}
    monkeypatch.setattr(getattr(app.ctx, broken), names[broken], fault)
    url = "http://localhost:8080/time/mcp"
    response = await (app.http.get("/jwks") if broken == "keys" else app.forward(url, token))
    assert (response.status_code, response.json()["error"]) == (500, "server_error")
    assert set(SAFE_HEADERS) <= set(response.headers)
    assert "hunter2" not in response.text


async def test_https_is_made_to_stay(make_app: MakeApp) -> None:
    app = await make_app(base_domain="example.com")
    refused = await app.forward("https://time.example.com/mcp")
    assert refused.status_code == 401
    for response in (await app.http.get("/health"), refused):
        assert response.headers["strict-transport-security"] == "max-age=31536000"


@pytest.mark.parametrize(
    "path",
    ["/token", "/register", "/register/client_1", "/revoke", "/jwks", "/.well-known/openid-configuration"],
)
async def test_web_pages_of_any_origin_may_call_what_uses_no_cookie(app: App, path: str) -> None:
    asked = {
        "Origin": "https://app.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type, mcp-protocol-version",
    }
    response = await app.http.options(path, headers=asked)
    assert response.status_code == 204
    assert response.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in response.headers
    assert "authorization" in response.headers["access-control-allow-headers"].lower()
    response = await app.http.post(path, headers={"Origin": "https://app.example"})
    assert response.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in response.headers


@pytest.mark.parametrize("path", ["/authorize", "/account", "/device", "/consent", "/introspect", "/health"])
async def test_web_pages_of_other_origins_may_not_read_anything_else(app: App, path: str) -> None:
    response = await app.http.get(path, headers={"Origin": "https://app.example"})
    assert "access-control-allow-origin" not in response.headers


async def test_metrics_are_not_for_the_public(make_app: MakeApp) -> None:
    app = await make_app()
    assert (await app.http.get("/metrics")).status_code == 200
    assert (await app.http.get("/metrics", headers={"X-Forwarded-For": "192.0.2.7"})).status_code == 404
    off = await make_app(metrics=False)
    assert (await off.http.get("/metrics")).status_code == 404


async def test_the_example_of_an_application_with_the_gateway_inside_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {
        "GATEWAY_SECRET": "0123456789abcdef-test-secret-fedcba9876543210",
        "PUBLIC_URL": "http://localhost:8080",
        "LOCAL_ACCOUNTS": "true",
        "STORE_URL": f"sqlite:///{tmp_path}/auth.db",
        "AUDIT_LOG": str(tmp_path / "audit.log"),
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    example = runpy.run_path(str(Path(__file__).parent.parent / "examples" / "in_your_application.py"))
    mine = example["app"]
    transport = httpx.ASGITransport(mine)
    async with (
        mine.router.lifespan_context(mine),
        httpx.AsyncClient(transport=transport, base_url="http://localhost:8080") as http,
    ):
        assert (await http.get("/my/own")).json() == {"mine": "too"}
        assert (await http.get("/.well-known/oauth-authorization-server")).json()[
            "issuer"
        ] == "http://localhost:8080"
        forwarded = {"X-Forwarded-Host": "localhost:8080", "X-Forwarded-Uri": "/time/mcp"}
        assert (await http.get("/verify", headers=forwarded)).status_code == 401
        registered = await http.post("/register", json={"redirect_uris": ["https://client.example/cb"]})
        assert registered.status_code == 201
    assert example["gateway"].ctx.http.is_closed


def test_the_readme_names_every_setting_and_every_command() -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    assert [name for name in Settings.model_fields if f"`{name.upper()}`" not in readme] == []
    shown = [
        name
        for name, command in main.to_info_dict(click.Context(main))["commands"].items()
        if not command["hidden"]
    ]
    assert set(shown) >= {"serve", "users"}
    assert [name for name in shown if f"mcp-oauth-server {name}" not in readme] == []


async def test_its_own_lifespan_closes_what_was_opened(make_settings: Callable[..., Settings]) -> None:
    gateway = create_app(make_settings())
    async with gateway.router.lifespan_context(gateway):
        await gateway.ctx.store.put("jti", "a", {})
    assert gateway.ctx.http.is_closed
