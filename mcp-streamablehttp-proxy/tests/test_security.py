"""Who may talk to the proxy, and whose session is whose."""

from __future__ import annotations

import json

import pytest
from mcp_streamablehttp_proxy._common.settings import SettingsError
from mcp_streamablehttp_proxy.security import Guard
from mcp_streamablehttp_proxy.settings import Settings
from mcp_streamablehttp_proxy.wire.http import RefusedError

from .support import Running, Start


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", ""])
async def test_a_foreign_host_is_421_px11(proxy: Running, host: str) -> None:
    client = proxy.client(host=host)
    response = await client.post(client.initialization())
    assert response.status_code == 421
    assert proxy.alive() == 0


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://localhost.evil.example"])
async def test_a_foreign_origin_is_403_px11(proxy: Running, origin: str) -> None:
    client = proxy.client(origin=origin)
    assert (await client.post(client.initialization())).status_code == 403
    assert (await client.delete()).status_code == 403
    async with client.listen() as events:
        assert events.response.status_code == 403


@pytest.mark.parametrize("name", ["localhost:1", "127.0.0.1", "[::1]:3000", "LOCALHOST"])
async def test_loopback_names_are_welcome_at_any_port(proxy: Running, name: str) -> None:
    client = proxy.client(host=name, origin=f"http://{name}")
    assert (await client.post(client.initialization())).status_code == 200


@pytest.mark.parametrize(
    ("entry", "origin", "status"),
    [
        ("https://app.example.com", "https://app.example.com", 200),
        ("https://app.example.com", "http://app.example.com", 403),
        ("https://app.example.com", "https://app.example.com:8443", 403),
        ("app.example.com:443", "https://app.example.com", 200),
        ("localhost:*", "http://localhost:5173", 200),
    ],
)
async def test_an_allowed_origin_is_scheme_host_and_port(
    start: Start, entry: str, origin: str, status: int
) -> None:
    """RFC 6454 section 5: `https://app.example.com` admits nothing else."""
    proxy = await start(settings=Settings(allowed_origins=(entry,)))
    client = proxy.client(origin=origin)
    assert (await client.post(client.initialization())).status_code == status


def test_a_malformed_entry_is_named() -> None:
    with pytest.raises(SettingsError, match=r"MCP_ALLOWED_HOSTS.*not/a/host"):
        Guard(Settings(allowed_hosts=("not/a/host",)))
    with pytest.raises(SettingsError, match=r"MCP_ALLOWED_ORIGINS.*not/a/host"):
        Guard(Settings(allowed_origins=("not/a/host",)))


def test_identity_is_believed_only_when_told() -> None:
    headers = {b"x-user-id": b"ada"}
    assert Guard(Settings()).principal(headers) == ""
    assert Guard(Settings(trust_identity=True)).principal(headers) == "ada"


async def test_a_foreign_session_is_404(start: Start) -> None:
    proxy = await start(settings=Settings(trust_identity=True))
    ada = await proxy.opened(x_user_id="ada")
    for thief in (proxy.client(x_user_id="eve"), proxy.client()):
        thief.session = ada.session
        assert (await thief.post(thief.tool("echo", text="x"))).status_code == 404
        assert (await thief.delete()).status_code == 404
        async with thief.listen() as events:
            assert events.response.status_code == 404
    assert await ada.call("echo", text="mine") == "mine"


async def test_a_second_user_header_is_refused(start: Start) -> None:
    proxy = await start(settings=Settings(trust_identity=True))
    headers = [("x-user-id", "ada"), ("x-user-id", "eve"), ("content-type", "application/json")]
    assert (await proxy.http.post("/mcp", headers=headers, content="{}")).status_code == 400


async def test_authorization_never_reaches_a_server(proxy: Running) -> None:
    client = await proxy.opened(authorization="Bearer secret-token")
    for tool in ("environment", "argv", "seen"):
        assert "secret-token" not in await client.call(tool)


async def test_a_server_sees_only_allowed_variables(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    proxy = await start(env={"GIVEN": "yes"})
    environment = json.loads(await (await proxy.opened()).call("environment"))
    assert environment["GIVEN"] == "yes"
    assert "PATH" in environment
    assert "AWS_SECRET_ACCESS_KEY" not in environment


async def test_a_server_sees_what_reaching_the_network_needs(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a company's certificate and proxy, `uvx` and `npx` work here as they do by hand."""
    needed = (
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "REQUESTS_CA_BUNDLE",
        "NODE_EXTRA_CA_CERTS",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "no_proxy",
        "UV_INDEX_URL",
        "UV_NATIVE_TLS",
        "NPM_CONFIG_REGISTRY",
        "npm_config_cafile",
        "PIP_INDEX_URL",
        "PIP_CERT",
    )
    for name in needed:
        monkeypatch.setenv(name, f"of {name}")
    for name in ("XSSL_CERT_FILE", "MY_PROXY", "UVX", "PIPE"):
        monkeypatch.setenv(name, "hidden")
    running = await start()
    seen = json.loads(await (await running.opened()).call("environment"))
    assert {name: seen.get(name) for name in needed} == {name: f"of {name}" for name in needed}
    assert "hidden" not in seen.values()


async def test_bodies_are_not_logged_unless_asked_px9(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    quiet = await (await start()).opened()
    await quiet.call("echo", text="private-words")
    assert not [r for r in caplog.records if "private-words" in str(vars(r))]
    loud = await (await start(log_bodies=True)).opened()
    await loud.call("echo", text="public-words")
    assert [r for r in caplog.records if "public-words" in str(getattr(r, "text", ""))]


def test_guard_refuses_with_the_right_status() -> None:
    guard = Guard(Settings(allowed_hosts=("mcp.example.com",), allowed_origins=("https://app.example.com",)))
    guard.check({b"host": b"mcp.example.com", b"origin": b"https://app.example.com"})
    with pytest.raises(RefusedError) as host:
        guard.check({b"host": b"localhost"})
    with pytest.raises(RefusedError) as origin:
        guard.check({b"host": b"mcp.example.com", b"origin": b"http://localhost"})
    assert (host.value.status, origin.value.status) == (421, 403)
