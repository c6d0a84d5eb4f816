"""Hostile servers, authorization servers and web pages: nothing is opened, sent or believed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest
from mcp_streamablehttp_client.errors import DiscoveryError, SignInError
from mcp_streamablehttp_client.oauth import browser, web
from mcp_streamablehttp_client.oauth.loopback import listening
from mcp_streamablehttp_client.oauth.urls import checked
from mcp_streamablehttp_client.oauth.web import Web
from mcp_streamablehttp_client.settings import Settings

from .oauth_server import OAuth
from .support import Run, StartBridge


def browsed(tmp_path: Path) -> bool:
    return (tmp_path / "browsed").exists()


@pytest.mark.parametrize(
    "endpoint",
    [
        "file:///c:/windows/system32/calc.exe",
        "javascript:alert(1)",
        "data:text/html,x",
        "http://evil.example/authorize",
        "https://evil.example/?$(touch pwned)",
        "https://evil.example/$(touch%20pwned)",
        "https://evil.example/`touch pwned`",
        "https://evil.example/;touch pwned",
        "https://evil.example/|calc",
        "https://evil.example/ --utility-cmd-prefix=calc",
        'https://evil.example/"&calc&"',
        "https://evil.example/\n--proxy-server=x",
        "https://user:password@evil.example/",
        "https://evil.example/#fragment",
        "-https://evil.example/",
        "//evil.example/",
        "https://",
        "",
        None,
        {"url": "https://evil.example/"},
    ],
)
async def test_a_hostile_authorization_endpoint_is_never_opened(
    endpoint: object, oauth: OAuth, run: Run, tmp_path: Path
) -> None:
    """CVE-2025-6514."""
    oauth.metadata = {"authorization_endpoint": endpoint}
    finished = await run("login", oauth.url)
    assert finished.status == 1
    assert "authorization_endpoint" in finished.stderr
    assert not browsed(tmp_path)
    assert oauth.count("register") == 0


async def test_an_innocent_query_in_the_authorization_endpoint_is_kept(oauth: OAuth, run: Run) -> None:
    oauth.metadata = {"authorization_endpoint": f"{oauth.origin}/authorize?tenant=1"}
    assert (await run("login", oauth.url)).status == 0
    assert oauth.last("authorize")["tenant"] == "1"


@pytest.mark.parametrize("url", ["file:///etc/passwd", "javascript:1", "vscode://x", "/bin/sh"])
def test_the_browser_is_given_web_addresses_only(url: str) -> None:
    with pytest.raises(ValueError, match="only http"):
        browser.show(url)


@pytest.mark.parametrize("name", ["token_endpoint", "registration_endpoint"])
async def test_other_endpoints_are_judged_as_strictly(
    name: str, oauth: OAuth, run: Run, tmp_path: Path
) -> None:
    oauth.metadata = {name: "http://169.254.169.254/latest"}
    finished = await run("login", oauth.url)
    assert name in finished.stderr
    assert not browsed(tmp_path)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/x",
        "http://localhost:8080/x",
        "http://169.254.169.254/latest/meta-data",
        "http://10.0.0.1/",
        "ftp://server.example/",
    ],
)
def test_a_server_on_the_internet_cannot_send_the_client_to_plain_http(url: str) -> None:
    with pytest.raises(DiscoveryError):
        checked(url, "address", "https://mcp.example/mcp")


def test_names_under_localhost_are_this_machine_and_nothing_else_is() -> None:
    server = "http://time.gateway.localhost:8080/mcp"
    assert checked("http://auth.gateway.localhost:8080/token", "address", server)
    for url in ("http://localhost.example/", "http://notlocalhost/", "http://10.0.0.1/"):
        with pytest.raises(DiscoveryError):
            checked(url, "address", server)


@pytest.mark.parametrize(
    "place", ["127.0.0.1", "localhost", "10.0.0.1", "[::ffff:192.168.1.1]", "169.254.169.254"]
)
async def test_a_server_on_the_internet_cannot_send_the_client_inside(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused before anything is connected to."""
    reached: list[object] = []

    def reach(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        reached.append(place)

    async def public(host: str, port: int) -> bool:
        return True

    monkeypatch.setattr(web, "_all_public", public)
    async with asyncio.timeout(60):
        listener = await asyncio.start_server(reach, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        with pytest.raises(DiscoveryError, match="leads inside"):
            await Web(Settings("https://mcp.example.com/mcp")).exchange("GET", f"http://{place}:{port}/")
    listener.close()
    assert reached == []


@pytest.mark.parametrize(
    "address",
    ["/.well-known/oauth-protected-resource/mcp", "http://127.0.0.1:1/inner", "http://inner.example/x"],
    ids=["relative", "dead", "inner"],
)
async def test_a_useless_address_in_the_challenge_is_as_good_as_none(
    address: str, oauth: OAuth, run: Run
) -> None:
    oauth.challenge_extra = f'resource_metadata="{address}"'
    assert (await run("login", oauth.url)).status == 0


async def test_an_unquoted_address_in_the_challenge_is_read_whole(oauth: OAuth, run: Run) -> None:
    where = f"{oauth.origin}/.well-known/oauth-protected-resource/mcp"
    oauth.challenge_extra = f"resource_metadata={where}"
    assert (await run("login", oauth.url)).status == 0


async def test_the_challenge_cannot_send_the_client_elsewhere(oauth: OAuth, run: Run, tmp_path: Path) -> None:
    oauth.challenge_extra = 'resource_metadata="file:///etc/passwd"'
    finished = await run("login", oauth.url)
    assert "resource_metadata" in finished.stderr
    assert not browsed(tmp_path)


@pytest.mark.parametrize("suffix", ["//", "/other", "?x", "/?"])
async def test_an_issuer_that_is_not_byte_identical_is_rejected(
    suffix: str, oauth: OAuth, run: Run, tmp_path: Path
) -> None:
    oauth.metadata = {"issuer": oauth.origin + suffix}
    finished = await run("login", oauth.url)
    assert finished.status == 1
    assert "names another issuer" in finished.stderr
    assert not browsed(tmp_path)


async def test_an_empty_path_and_a_slash_are_one_issuer(oauth: OAuth, run: Run) -> None:
    """The one deviation from RFC 8414 section 3.3; from here on the metadata's spelling counts."""
    oauth.metadata = {"issuer": oauth.origin + "/"}
    assert (await run("login", oauth.url)).status == 1  # its `iss` is spelled the other way
    oauth.iss = oauth.origin + "/"
    assert (await run("login", oauth.url)).status == 0
    assert f"signed in at {oauth.origin}/ as" in (await run("status")).stdout


@pytest.mark.parametrize("methods", [None, [], ["plain"]])
async def test_without_s256_there_is_no_sign_in(
    methods: list[str] | None, oauth: OAuth, run: Run, tmp_path: Path
) -> None:
    oauth.metadata = {"code_challenge_methods_supported": methods}
    assert "S256" in (await run("login", oauth.url)).stderr
    assert not browsed(tmp_path)


@pytest.mark.parametrize(
    "resource",
    ["https://evil.example/mcp", "{origin}/mcp2", "{origin}/mcp/deeper", "{origin}x/mcp", "", None],
)
async def test_metadata_about_another_resource_is_rejected(
    resource: str | None, oauth: OAuth, run: Run, tmp_path: Path
) -> None:
    changed = resource.format(origin=oauth.origin) if resource is not None else None
    oauth.resource_metadata = {"resource": changed}
    assert "another resource" in (await run("login", oauth.url)).stderr
    assert not browsed(tmp_path)


async def test_a_wrong_iss_is_rejected_and_its_error_text_not_shown(oauth: OAuth, run: Run) -> None:
    """RFC 9207: the mix-up attack."""
    oauth.iss = "https://evil.example"
    oauth.redirect_extra = {"error": "x", "error_description": "call 555-EVIL"}
    finished = await run("login", oauth.url)
    assert finished.status == 1
    assert "another authorization server" in finished.stderr
    assert "EVIL" not in finished.stderr
    assert oauth.count("token") == 0


async def test_a_trailing_slash_makes_another_iss(oauth: OAuth, run: Run) -> None:
    oauth.iss = f"{oauth.origin}/"
    assert (await run("login", oauth.url)).status == 1
    assert oauth.count("token") == 0


async def test_a_missing_iss_is_rejected_where_it_was_announced(oauth: OAuth, run: Run) -> None:
    oauth.drop_parameters = ("iss",)
    finished = await run("login", oauth.url)
    assert "does not say which authorization server" in finished.stderr
    assert oauth.count("token") == 0


async def test_an_unannounced_iss_is_judged_all_the_same(oauth: OAuth, run: Run) -> None:
    oauth.sends_iss = False
    assert (await run("login", oauth.url)).status == 0
    oauth.iss = "https://evil.example"
    assert (await run("login", oauth.url)).status == 1


async def test_only_the_redirect_with_the_right_state_is_heard() -> None:
    async with listening(0) as listener, httpx.AsyncClient(trust_env=False, timeout=60) as web:
        waiting = asyncio.create_task(listener.answer("right", 10))
        await asyncio.sleep(0)
        for query in ("", "?code=x", "?code=x&state=wrong", "?code=x&state=right&state=right"):
            assert (await web.get(listener.redirect_uri + query)).status_code == 400
        assert not waiting.done()
        page = await web.get(f"{listener.redirect_uri}?code=%3Cscript%3E&state=right")
        assert page.status_code == 200
        assert await waiting == {"code": "<script>", "state": "right"}
        again = await web.get(f"{listener.redirect_uri}?code=second&state=right")
        assert again.status_code == 400


async def test_the_callback_page_repeats_nothing_and_runs_nothing() -> None:
    """CVE-2025-62800."""
    async with listening(0) as listener, httpx.AsyncClient(trust_env=False, timeout=60) as web:
        waiting = asyncio.create_task(listener.answer("s", 10))
        await asyncio.sleep(0)
        url = f"{listener.redirect_uri}?state=s&error=<script>alert(1)</script>&error_description=<b>"
        page = await web.get(url)
        await waiting
    assert "alert" not in page.text
    assert "<b>" not in page.text
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert page.headers["cache-control"] == "no-store"


async def test_the_callback_is_deaf_to_rebound_names_and_other_methods() -> None:
    async with listening(0) as listener, httpx.AsyncClient(trust_env=False, timeout=60) as web:
        waiting = asyncio.create_task(listener.answer("s", 10))
        await asyncio.sleep(0)
        url = f"{listener.redirect_uri}?code=x&state=s"
        assert (await web.get(url, headers={"Host": "evil.example"})).status_code == 421
        assert (await web.post(url)).status_code == 404
        assert (await web.get(url.replace("callback", "else"))).status_code == 404
        assert not waiting.done()
        waiting.cancel()


async def test_nobody_answering_ends_the_sign_in() -> None:
    async with listening(0) as listener:
        with pytest.raises(SignInError, match="Nobody finished"):
            await listener.answer("s", 0.05)


async def test_a_wrong_state_never_reaches_the_token_endpoint(
    oauth: OAuth, bridge: StartBridge, tmp_path: Path
) -> None:
    oauth.redirect_extra = {"state": "not-what-was-sent"}
    host = await bridge(oauth.url)
    host.request(1, "initialize", {})
    while not (tmp_path / "returned").exists():
        await asyncio.sleep(0.02)
    host.process.terminate()
    await host.close()
    assert oauth.count("token") == 0


async def test_a_registration_answer_cannot_break_the_log(oauth: OAuth, run: Run) -> None:
    oauth.redirect_extra = {"error": "x", "error_description": "a\nmcp: forged line\x1b[31m"}
    oauth.drop_parameters = ("code",)
    finished = await run("login", oauth.url)
    assert "\nmcp: forged" not in finished.stderr
    assert "\x1b" not in finished.stderr
