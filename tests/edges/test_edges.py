"""Every edge does what docs/other-edges.md demands: Traefik as it is started here, nginx and Caddy as that
page configures them, Envoy by the routes of the Gateway API. Where that API has no word for something, the
case of `envoy` says so, and so does docs/kubernetes.md."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import browser_page
from tests.edges.conftest import EDGES, HOSTILE, Edge, raw, running

pytestmark = pytest.mark.asyncio(loop_scope="module")

CALL: dict[str, Any] = {"json": {"jsonrpc": "2.0", "id": 1, "method": "ping"}}
JSON = {"Accept": "application/json, text/event-stream"}


def metadata(edge: Edge, server: str = "time") -> str:
    url = httpx.URL(edge.url(server))
    return str(url.copy_with(path=f"/.well-known/oauth-protected-resource{url.path}"))


def challenge(edge: Edge) -> str:
    return f'Bearer resource_metadata="{metadata(edge)}", scope="mcp"'


def bearer(token: str) -> dict[str, str]:
    return {**JSON, "Authorization": f"Bearer {token}"}


def seen(response: httpx.Response) -> dict[str, list[str]]:
    """The headers that the server received, by lower-case name."""
    received: dict[str, list[str]] = {}
    for name, value in response.json()["headers"]:
        received.setdefault(name, []).append(value)
    return received


async def test_without_a_token_the_challenge_arrives_once_and_whole(edge: Edge) -> None:
    response = await edge.ask("POST", edge.time, headers=JSON, **CALL)
    assert response.status_code == 401
    assert response.headers.get_list("www-authenticate") == [challenge(edge)]
    assert response.json()["error"] == "unauthorized"
    assert edge.server.reached == 0


async def test_an_invalid_token_and_one_for_another_server_are_named_so(edge: Edge) -> None:
    elsewhere = await edge.token(resource=edge.url("echo"))
    for token in ("nonsense", elsewhere):
        response = await edge.ask("POST", edge.time, headers=bearer(token), **CALL)
        assert response.status_code == 401
        [given] = response.headers.get_list("www-authenticate")
        assert given.startswith('Bearer error="invalid_token", ')
        assert f'resource_metadata="{metadata(edge)}"' in given
    assert edge.server.reached == 0


async def test_a_token_without_the_scope_gets_the_step_up_challenge(edge: Edge) -> None:
    response = await edge.ask("POST", edge.time, headers=bearer(await edge.token(scope="other")), **CALL)
    assert response.status_code == 403
    [given] = response.headers.get_list("www-authenticate")
    assert given.startswith('Bearer error="insufficient_scope", ')
    assert given.endswith('scope="mcp"')


async def test_a_person_with_a_browser_sees_how_to_connect(edge: Edge) -> None:
    response = await edge.ask("GET", edge.time, headers={"Accept": "text/html"})
    assert response.status_code == 401
    assert response.headers.get_list("www-authenticate") == [challenge(edge)]
    assert response.headers["content-type"].startswith("text/html")
    assert edge.time in response.text


async def test_a_valid_token_tells_the_server_who_it_is_and_goes_no_further(edge: Edge) -> None:
    token = await edge.token()
    response = await edge.ask("POST", edge.time, headers=bearer(token), **CALL)
    assert response.status_code == 200
    received = seen(response)
    assert received["x-user-id"] == ["local:ada"]
    assert received["x-user-name"] == ["ada"]
    assert received["x-client-id"] == ["client_1"]
    assert "authorization" not in received
    assert token not in response.text


async def test_identity_that_a_client_claims_is_removed_in_every_spelling(edge: Edge) -> None:
    spoofed = [
        ("X-User-Id", "evil"), ("x-user-name", "evil"), ("X-Gateway-Identity", "evil"),
        ("X-CLIENT-ID", "evil"), ("X-User-Id", "evil-twice"),
        ("X_User_Id", "evil"), ("x-user_id", "evil"), ("X_CLIENT-ID", "evil"),
        ("Connection", "keep-alive, X-User-Id"),
    ]  # fmt: skip
    if edge.name != "envoy":
        spoofed.append(("X.User.Id", "evil"))
    headers = [*bearer(await edge.token()).items(), *spoofed]
    response = await edge.ask("POST", edge.time, headers=headers, **CALL)
    assert response.status_code == 200
    assert "evil" not in response.text
    assert seen(response)["x-user-id"] == ["local:ada"]


async def test_a_servers_health_is_told_without_asking_it(edge: Edge) -> None:
    for headers in ({}, {"X-User-Id": "evil"}, {"Connection": "Upgrade", "Upgrade": "anything"}):
        response = await edge.ask("GET", edge.time.replace("/mcp", "/health"), headers=headers)
        if edge.name == "envoy" and "Upgrade" in headers:
            assert response.status_code == 403
            continue
        assert response.status_code == 200
        known = edge.name.startswith("traefik")
        assert response.json() == {"status": "healthy" if known else "unknown"}
    assert edge.server.reached == 0


async def test_a_servers_card_is_answered_without_asking_it(edge: Edge) -> None:
    for headers in (JSON, bearer(await edge.token())):
        response = await edge.ask("GET", f"{edge.time}/server-card", headers=headers)
        assert response.status_code == 404
        assert response.json()["error_description"].startswith("No card is public here")
    assert edge.server.reached == 0


@pytest.mark.parametrize("running_edge", ["traefik", "traefik-one-host"], indirect=True)
async def test_a_server_that_does_not_exist_has_nothing(edge: Edge) -> None:
    nothing = edge.url("nothing")
    for url in (nothing, metadata(edge, "nothing"), nothing.replace("/mcp", "/health"), nothing[:-3]):
        for token in (None, await edge.token(resource=nothing)):
            response = await edge.ask("GET", url, headers=bearer(token) if token else JSON)
            assert response.status_code == 404, url
            assert response.json()["error"] == "not_found"
            assert "www-authenticate" not in response.headers


@pytest.mark.parametrize("header", ["X-Forwarded-Host", "X-Forwarded-Uri", "X-Forwarded-Method"])
async def test_what_a_client_says_about_its_own_request_is_not_believed(edge: Edge, header: str) -> None:
    """With it, a token for `echo` would open `time`, and no token at all would pass as a preflight."""
    elsewhere = await edge.token(resource=edge.url("echo"))
    claimed = {
        "X-Forwarded-Host": httpx.URL(edge.url("echo")).netloc.decode(),
        "X-Forwarded-Uri": "/.well-known/x",
        "X-Forwarded-Method": "OPTIONS",
    }
    headers = bearer(elsewhere) | {header: claimed[header]}
    response = await edge.ask("POST", edge.time, headers=headers, **CALL)
    assert response.status_code == 401
    assert edge.server.reached == 0


async def test_a_request_line_and_a_host_header_that_disagree_open_nothing(edge: Edge) -> None:
    elsewhere = await edge.token(resource=edge.url("echo"))
    request = (
        f"POST {edge.time} HTTP/1.1\r\nHost: echo.example.com\r\n"
        f"Authorization: Bearer {elsewhere}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}"
    )
    answer = await raw(edge, request.encode())
    assert answer.split(b" ")[1] in (b"400", b"401", b"404", b"421")
    assert edge.server.reached == 0


@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
async def test_a_whole_url_in_the_request_line_opens_no_more_than_its_path(edge: Edge, method: str) -> None:
    """Caddy finds no path in it where the authorization server finds `/`, which needs no token."""
    url = httpx.URL(edge.time)
    host, whole = url.netloc.decode(), str(url.copy_with(path="/")).removesuffix("/")
    preflight = "Access-Control-Request-Method: POST\r\n" if method == "OPTIONS" else ""
    head = f"Host: {host}\r\n{preflight}Content-Length: 2\r\nConnection: close\r\n\r\n{{}}"
    for rest in ("", "?x", "?x=/.well-known/", "/", "/health", "/token", "/.well-known/x"):
        answer = await raw(edge, f"{method} {whole}{rest} HTTP/1.1\r\n{head}".encode())
        assert answer.startswith(b"HTTP/1.1 ")
    assert edge.server.reached == 0


@pytest.mark.parametrize(
    "path", ["/mcp/../health", "/%2e%2e/health", "/health/../mcp", "//health", "/mcp%2f"]
)
async def test_a_path_that_two_readers_understand_differently_reaches_no_server(
    edge: Edge, path: str
) -> None:
    url = httpx.URL(edge.time)
    prefix = url.path.removesuffix("/mcp")
    request = f"GET {prefix}{path} HTTP/1.1\r\nHost: {url.netloc.decode()}\r\nConnection: close\r\n\r\n"
    answer = await raw(edge, request.encode())
    # 200: read as /health, it is answered by the authorization server.
    assert answer.split(b" ")[1] in (b"200", b"301", b"307", b"308", b"400", b"401", b"404")
    assert edge.server.reached == 0


async def test_metadata_needs_no_token_on_either_host(edge: Edge) -> None:
    for headers in ({}, {"Authorization": "Bearer expired"}):
        for method in ("GET", "HEAD"):
            url = metadata(edge)
            protected = await edge.ask(method, url, headers={"Origin": "https://app.example", **headers})
            assert protected.status_code == 200
            assert protected.headers.get_list("access-control-allow-origin") == ["*"]
        protected = await edge.ask("GET", metadata(edge))
        assert protected.json()["resource"] == edge.time
        issuer = protected.json()["authorization_servers"][0]
        server = await edge.ask("GET", f"{issuer}/.well-known/oauth-authorization-server")
        assert server.json()["issuer"] == issuer == edge.issuer


@pytest.mark.parametrize("slash", ["", "/"])
async def test_a_slash_at_the_end_is_the_same_server(edge: Edge, slash: str) -> None:
    """What the challenge leads to is what the client was asked for (RFC 9728 section 3.3)."""
    asked = edge.time + slash
    challenged = await edge.ask("POST", asked, headers=JSON, **CALL)
    assert challenged.status_code == 401
    url = challenged.headers["www-authenticate"].split('resource_metadata="')[1].split('"')[0]
    assert (await edge.ask("GET", url)).json()["resource"] == asked
    answered = await edge.ask("POST", asked, headers=bearer(await edge.token()), **CALL)
    assert answered.status_code == 200
    assert answered.json()["path"] == f"/mcp{slash}"


async def test_the_bare_address_says_where_the_endpoint_is(edge: Edge) -> None:
    bare = edge.time.removesuffix("mcp")
    for url in {bare, bare.removesuffix("/") if edge.name == "traefik-one-host" else bare}:
        response = await edge.ask("GET", url, headers=JSON)
        assert response.status_code == 404
        assert edge.time in response.json()["error_description"]
        page = await edge.ask("GET", url, headers={"Accept": "text/html"})
        assert page.headers["content-type"].startswith("text/html")
        assert edge.time in page.text
    assert edge.server.reached == 0


PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization, mcp-protocol-version",
}


async def test_preflights_need_no_token_and_allow_what_clients_send(edge: Edge) -> None:
    for url in (edge.time, metadata(edge)):
        response = await edge.ask("OPTIONS", url, headers={"Origin": "https://claude.ai", **PREFLIGHT})
        assert response.status_code == 204
        assert response.headers.get_list("access-control-allow-origin") == ["*"]
        assert "POST" in response.headers["access-control-allow-methods"]
        assert response.headers["access-control-allow-headers"] == "*, Authorization"
    assert edge.server.reached == 0


async def test_an_options_request_that_is_no_preflight_needs_a_token(edge: Edge) -> None:
    origin = {"Origin": "https://claude.ai"}
    for headers in ({}, origin):
        response = await edge.ask("OPTIONS", edge.time, headers=headers, content=b"{}")
        assert response.status_code == 401
    assert edge.server.reached == 0


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://claude.ai"])
async def test_a_page_that_may_not_call_is_told_so_before_anybody_signs_in(edge: Edge, origin: str) -> None:
    preflight = await edge.ask("OPTIONS", edge.time, headers={"Origin": origin, **PREFLIGHT})
    assert preflight.status_code == 403
    assert "access-control-allow-origin" not in preflight.headers
    for headers in (JSON, bearer(await edge.token())):
        response = await edge.ask("POST", edge.time, headers={"Origin": origin, **headers}, **CALL)
        assert response.status_code == 403
        assert "www-authenticate" not in response.headers
    assert edge.server.reached == 0


async def test_an_answer_that_the_client_will_not_take_is_refused_before_anybody_signs_in(edge: Edge) -> None:
    for headers in ({}, bearer(await edge.token())):
        response = await edge.ask("POST", edge.time, headers=headers | {"Accept": "text/html"}, **CALL)
        assert response.status_code == 406
        assert response.headers.get_list("www-authenticate") == []
        assert "application/json" in response.json()["error"]["message"]
    assert edge.server.reached == 0


async def test_a_web_page_may_read_answers_and_challenges(edge: Edge) -> None:
    origin = {"Origin": "https://claude.ai"}
    answered = await edge.ask("POST", edge.time, headers=bearer(await edge.token()) | origin, **CALL)
    challenged = await edge.ask("POST", edge.time, headers=JSON | origin, **CALL)
    for response in (answered, challenged):
        assert response.headers.get_list("access-control-allow-origin") == ["*"]
        assert "WWW-Authenticate" in response.headers["access-control-expose-headers"]
    assert "origin" not in seen(answered)


async def test_a_server_gets_no_cookie_and_leaves_nothing_in_a_browser(edge: Edge) -> None:
    headers = bearer(await edge.token()) | {"Cookie": "__Host-session=secret"}
    answered = await edge.ask("POST", edge.time, headers=headers, **CALL)
    assert answered.status_code == 200
    assert "cookie" not in seen(answered)
    [policy] = answered.headers.get_list("content-security-policy")
    assert policy.startswith("sandbox;")
    assert answered.headers.get_list("x-content-type-options") == ["nosniff"]
    removed = {name.decode() for name, _ in HOSTILE} - {"content-security-policy", "alt-svc"}
    assert removed.isdisjoint(answered.headers)
    assert "evil" not in answered.headers.get("alt-svc", "")


async def test_the_authorization_servers_own_cookies_pass(edge: Edge) -> None:
    """Sign-in needs them; they go no further."""
    sent = {"Cookie": "a=1", "Accept": "text/html"}
    assert (await edge.ask("GET", f"{edge.issuer}/account", headers=sent)).status_code in (200, 303, 401)


async def test_a_head_that_is_too_large_ends_at_the_edge(edge: Edge) -> None:
    for url in (f"{edge.time}?{'x' * 62_000}", f"{edge.time}/{'x' * 62_000}"):
        assert (await edge.ask("GET", url)).status_code in (400, 404, 414, 431)
    response = await edge.ask("GET", edge.time, headers={"X-Long": "x" * 62_000})
    assert response.status_code in (400, 431)
    assert edge.server.reached == 0


async def test_events_arrive_when_they_are_sent(edge: Edge) -> None:
    headers = {**bearer(await edge.token()), "Accept": "text/event-stream"}
    request = edge.request("GET", edge.time, headers=headers)
    response = await edge.http.send(request, stream=True)
    assert response.status_code == 200
    chunks = response.aiter_text()
    first = await asyncio.wait_for(anext(chunks), 60)
    assert first == "data: first\n\n"
    edge.server.go_on.set()
    assert "".join([chunk async for chunk in chunks]) == "data: second\n\n"


@pytest.mark.parametrize("running_edge", ["traefik", "traefik-one-host", "nginx"], indirect=True)
async def test_a_server_gets_a_request_once_it_is_whole(edge: Edge) -> None:
    """An edge that still reads a request while the server answers may drop the answer (golang/go#40747).

    Caddy's request_buffers is newer than Debian's Caddy; the page says so.
    """

    async def body() -> AsyncIterator[bytes]:
        yield b'{"jsonrpc": "2.0", "id": 1, '
        await asyncio.sleep(0.3)
        assert edge.server.reached == 0
        yield b'"method": "ping"}'

    length = {"Content-Length": "45", "Content-Type": "application/json"}
    headers = bearer(await edge.token()) | length
    response = await edge.ask("POST", edge.time, headers=headers, content=body())
    assert response.status_code == 200
    assert edge.server.reached == 1


async def test_the_authorization_server_gets_the_credentials_it_was_sent(edge: Edge) -> None:
    wanted = {"redirect_uris": ["https://client.example/callback"], "client_name": "Client"}
    registered = await edge.ask("POST", f"{edge.issuer}/register", json=wanted)
    assert registered.status_code == 201
    client = registered.json()
    url = f"{edge.issuer}/register/{client['client_id']}"
    token = {"Authorization": f"Bearer {client['registration_access_token']}"}
    assert (await edge.ask("GET", url, headers=token)).status_code == 200


@pytest.mark.parametrize("path", ["/verify", "/metrics", "/verify/", "/metrics/x"])
async def test_what_is_internal_is_not_for_the_public(edge: Edge, path: str) -> None:
    assert (await edge.ask("GET", f"{edge.issuer}{path}")).status_code == 404


DISGUISED = ("/%76erify/at/time", "/%69nternal/identity/keys")
"""Internal addresses, for an edge that compares a path as it was written."""


@pytest.mark.parametrize("method", ["OPTIONS", "POST"])
async def test_what_the_gate_tells_an_edge_no_client_is_told(edge: Edge, method: str) -> None:
    """Preflights go to the authorization server whatever their path, as does what is at no server's host."""
    hosts = [edge.issuer, edge.time, edge.url("nobody")]
    for host in hosts if edge.name in ("traefik", "envoy") else hosts[:2]:  # those that take every host
        asked = f"/verify/at/time{httpx.URL(edge.time).path}"
        for path in (asked, "/verify", "/internal/identity/card", *DISGUISED):
            headers = [*bearer(await edge.token()).items(), *PREFLIGHT.items()]
            headers += [("Path", httpx.URL(edge.time).path), ("Method", "POST")]
            url = httpx.URL(host).copy_with(raw_path=path.encode())
            async with asyncio.timeout(120):
                # On a machine that is too busy an edge has no authorization server for a moment.
                while (answer := await edge.ask(method, str(url), headers=headers)).status_code == 503:
                    await asyncio.sleep(0.1)
            assert answer.is_client_error, (host, path)
            assert "x-gateway-identity" not in answer.headers
            if method == "POST" and host != edge.time:
                assert answer.status_code == 404, (host, path)
    assert edge.server.reached == 0


@pytest.mark.parametrize("name", EDGES)
async def test_while_nobody_can_be_checked_nobody_is_let_in(name: str, tmp_path: Path) -> None:
    async with running(name, tmp_path) as edge:
        token = await edge.token()
        assert (await edge.ask("POST", edge.time, headers=bearer(token), **CALL)).status_code == 200
        await edge.stop_authorization_server()
        response = await edge.ask("POST", edge.time, headers=bearer(token), **CALL)
        assert edge.server.reached == 1
        if name == "envoy":
            assert response.status_code == 403
            return
        assert response.is_server_error
        if not name.startswith("traefik"):
            assert response.status_code == 503
            assert response.headers["retry-after"] == "5"


ATTACKS: list[dict[str, str]] = [
    {"X-Forwarded-Uri": "/.well-known/x"},
    {"X-Forwarded-Method": "OPTIONS", "Access-Control-Request-Method": "POST"},
    {"X-Forwarded-Host": "auth.example.com", "X-Forwarded-Uri": "/health"},
    {"X-Forwarded-Prefix": "/.well-known", "X-Forwarded-Server": "auth", "X-Forwarded-Proto": "http"},
    {"Forwarded": "for=203.0.113.9;host=auth.example.com;proto=https"},
]


@pytest.mark.parametrize("name", ["traefik", "traefik-one-host"])
async def test_a_client_behind_a_trusted_front_proxy_cannot_speak_for_the_edge(
    name: str, tmp_path: Path
) -> None:
    """A tunnel passes on what it does not know, so of its headers X-Forwarded-For alone may count."""
    async with running(name, tmp_path, front_proxies="127.0.0.1/32") as edge:
        elsewhere = await edge.token(resource=edge.url("echo"))
        forwarded = {"X-Forwarded-For": "203.0.113.9"}
        for attack in ATTACKS:
            for headers in (JSON, bearer(elsewhere)):
                response = await edge.ask("POST", edge.time, headers=headers | forwarded | attack, **CALL)
                assert response.status_code == 401, attack
        assert edge.server.reached == 0
        answered = await edge.ask(
            "POST", edge.time, headers=bearer(await edge.token()) | forwarded | ATTACKS[0], **CALL
        )
        assert answered.status_code == 200


@pytest.mark.parametrize("name", ["traefik", "traefik-one-host"])
async def test_visitors_behind_a_front_proxy_are_told_apart(name: str, tmp_path: Path) -> None:
    wanted = {"redirect_uris": ["https://client.example/callback"]}

    async def register(edge: Edge, forwarded: str) -> int:
        headers = {"X-Forwarded-For": forwarded}
        return (await edge.ask("POST", f"{edge.issuer}/register", json=wanted, headers=headers)).status_code

    async with running(name, tmp_path, front_proxies="127.0.0.1/32", registrations_per_hour=1) as edge:
        assert await register(edge, "203.0.113.9") == 201
        assert await register(edge, "203.0.113.9") == 429
        assert await register(edge, "198.51.100.1, 203.0.113.9") == 429, "what a client wrote before it"
        assert await register(edge, "203.0.113.10") == 201


@pytest.mark.parametrize("name", ["traefik", "traefik-one-host"])
async def test_without_a_front_proxy_nobody_chooses_an_address(name: str, tmp_path: Path) -> None:
    wanted = {"redirect_uris": ["https://client.example/callback"]}
    async with running(name, tmp_path, registrations_per_hour=1) as edge:
        statuses = [
            (
                await edge.ask(
                    "POST", f"{edge.issuer}/register", json=wanted, headers={"X-Forwarded-For": claimed}
                )
            ).status_code
            for claimed in ("203.0.113.9", "203.0.113.10")
        ]
        assert statuses == [201, 429]


@pytest.mark.parametrize("running_edge", ["traefik", "traefik-one-host"], indirect=True)
async def test_traefiks_api_answers_nobody_without_the_secret(edge: Edge) -> None:
    internal = httpx.URL(str(edge.gateway.ctx.settings.edge_url))
    for headers in ({}, {"X-Edge-Secret": "x" * 64}):
        answer = await edge.http.get(internal.copy_with(path="/api/http/routers"), headers=headers)
        assert answer.status_code == 404
    public = await edge.ask("GET", f"{edge.issuer}/api/http/routers")
    assert public.status_code in (400, 404)
    for path in ("/mcp", "/time/mcp", "/verify"):
        assert (await edge.http.post(internal.copy_with(path=path), json={})).status_code == 404
    assert edge.server.reached == 0


@pytest.mark.parametrize("path", ["/.well-known/x%0d%0ay", "/.well-known/x%0a/mcp", "/.well-known/%6dcp"])
async def test_a_public_address_written_oddly_is_nobodys(edge: Edge, path: str) -> None:
    """One edge's pattern ends at a decoded line feed, where the table's did not."""
    prefix = httpx.URL(edge.time).path.removesuffix("/mcp")
    host = httpx.URL(edge.time).netloc.decode()
    for target in {path, prefix + path}:
        request = f"POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        answer = await raw(edge, request.encode())
        assert answer.split(b" ")[1] in (b"400", b"404", b"405")
    assert edge.server.reached == 0


@pytest.mark.browser
async def test_a_servers_page_has_no_power_in_the_authorization_servers_origin(tmp_path: Path) -> None:
    """On one host they share an origin: a script of a server's page could approve its own consent."""
    async with running("traefik-one-host", tmp_path) as edge, browser_page() as page:
        for path in ("/time/health", "/time", "/time/mcp", "/time/mcp/page"):
            await page.goto(edge.issuer + path)
            assert await page.title() != "ran"
        assert edge.server.reached == 0
        await page.context.add_cookies([{"name": "session", "value": "secret", "url": edge.issuer}])
        evil, posted = await page.context.new_page(), []
        evil.on("request", lambda request: posted.append(f"{request.method} {httpx.URL(request.url).path}"))
        await evil.set_extra_http_headers({"Authorization": f"Bearer {await edge.token()}"})
        await evil.goto(f"{edge.time}/page", wait_until="networkidle")
        assert edge.server.reached == 1
        assert await evil.title() == "harmless"
        assert posted == ["GET /time/mcp/page"]
        assert "cookie" not in dict(edge.server.arrivals[0].headers)
        names = [cookie.get("name") for cookie in await page.context.cookies()]
        assert names == ["session"]
