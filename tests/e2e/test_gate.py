"""What the edge lets through, and to whom (design section 5, guarantees 4, 6 and 10)."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.access import Access
from tests.conftest import Gateway
from tests.messages import INITIALIZE

Obtain = Callable[[str], Awaitable[Access]]
HEADERS = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}


def metadata_url(server: str) -> str:
    parts = urlsplit(server)
    return f"{parts.scheme}://{parts.netloc}/.well-known/oauth-protected-resource{parts.path}"


def modern(method: str, name: str | None = None, **params: Any) -> dict[str, Any]:
    """A 2026-07-28 request: the json and headers of an HTTP call."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    }
    headers = {**HEADERS, "MCP-Protocol-Version": "2026-07-28", "Mcp-Method": method}
    if name is not None:
        headers["Mcp-Name"] = name
        params["name"] = name
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}
    return {"json": body, "headers": headers}


def result_of(response: httpx.Response) -> dict[str, Any]:
    text = response.text
    if response.headers["content-type"].startswith("text/event-stream"):
        text = [line[6:] for line in text.splitlines() if line.startswith("data: {")][-1]
    answer: dict[str, Any] = json.loads(text)
    return answer


async def test_no_token_is_challenged_with_what_a_client_needs(
    gateway: Gateway, http: httpx.AsyncClient
) -> None:
    for name in ("time", "fetch", "echo-stateful"):
        url = gateway.server(name)
        response = await http.post(url, json=INITIALIZE, headers=HEADERS)
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == (
            f'Bearer resource_metadata="{metadata_url(url)}", scope="mcp"'
        )


async def test_a_forged_token_is_refused_and_named_invalid(gateway: Gateway, http: httpx.AsyncClient) -> None:
    url = gateway.server("time")
    forged = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9."
    response = await http.post(url, json=INITIALIZE, headers={**HEADERS, "Authorization": f"Bearer {forged}"})
    assert response.status_code == 401
    challenge = response.headers["www-authenticate"]
    assert 'error="invalid_token"' in challenge
    assert f'resource_metadata="{metadata_url(url)}"' in challenge
    assert 'scope="mcp"' in challenge


@pytest.mark.browser
async def test_a_token_opens_one_server_until_it_is_revoked(
    gateway: Gateway, obtain: Obtain, http: httpx.AsyncClient
) -> None:
    access = await obtain(gateway.server("time"))
    accepted = await http.post(access.resource, json=INITIALIZE, headers={**HEADERS, **access.bearer})
    assert accepted.status_code == 200

    elsewhere = await http.post(
        gateway.server("echo-stateless"), json=INITIALIZE, headers={**HEADERS, **access.bearer}
    )
    assert elsewhere.status_code == 401
    assert 'error="invalid_token"' in elsewhere.headers["www-authenticate"]

    refreshed = await http.post(
        access.token_endpoint,
        data={
            "grant_type": "refresh_token",
            "client_id": access.client_id,
            "refresh_token": access.tokens["refresh_token"],
        },
    )
    assert refreshed.status_code == 200, refreshed.text
    newer = refreshed.json()
    assert newer["refresh_token"] != access.tokens["refresh_token"]

    revoked = await http.post(
        access.revocation_endpoint, data={"client_id": access.client_id, "token": newer["refresh_token"]}
    )
    assert revoked.status_code == 200
    for token in (access.tokens["access_token"], newer["access_token"]):
        response = await http.post(
            access.resource, json=INITIALIZE, headers={**HEADERS, "Authorization": f"Bearer {token}"}
        )
        assert response.status_code == 401
        assert 'error="invalid_token"' in response.headers["www-authenticate"]


@pytest.mark.browser
@pytest.mark.parametrize("name", ["time", "echo-stateless", "echo-stateful", "fetch"])
async def test_every_handshake_version_is_spoken(
    gateway: Gateway, obtain: Obtain, http: httpx.AsyncClient, name: str
) -> None:
    access = await obtain(gateway.server(name))
    for version in ("2025-11-25", "2025-06-18"):
        params = {**INITIALIZE["params"], "protocolVersion": version}
        opened = await http.post(
            access.resource, json={**INITIALIZE, "params": params}, headers={**HEADERS, **access.bearer}
        )
        assert opened.status_code == 200, opened.text
        assert result_of(opened)["result"]["protocolVersion"] == version
        headers = {**HEADERS, **access.bearer, "MCP-Protocol-Version": version}
        if "mcp-session-id" in opened.headers:
            headers["Mcp-Session-Id"] = opened.headers["mcp-session-id"]
        started = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        assert (await http.post(access.resource, json=started, headers=headers)).status_code == 202
        listing = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
        listed = result_of(await http.post(access.resource, json=listing, headers=headers))
        assert listed["result"]["tools"]


@pytest.mark.browser
async def test_identity_that_a_client_claims_never_reaches_a_server(
    gateway: Gateway, obtain: Obtain, http: httpx.AsyncClient
) -> None:
    """Header spoofing (CVE-2025-64484, GHSA-5m6w-wvh7-57vm), in any spelling a server could misread."""
    access = await obtain(gateway.server("echo-stateless"))
    spoofed = {
        "X-User-Id": "local:evil",
        "x-user-name": "evil-name",
        "X-CLIENT-ID": "evil-client",
        "X_User_Id": "evil-underscore",
        "x-user_id": "evil-mixed",
        "X_USER-NAME": "evil-upper",
        "X.User.Id": "evil-dots",
        "X-Auth-Token": "evil-token",
        "Connection": "keep-alive, X-User-Id",
    }
    call = modern("tools/call", "printHeader", arguments={})
    response = await http.post(
        access.resource, json=call["json"], headers={**call["headers"], **access.bearer, **spoofed}
    )
    assert response.status_code == 200, response.text
    seen = json.dumps(result_of(response)["result"]).lower()
    assert "x-user-id" in seen
    assert "x-client-id" in seen
    for value in (
        "local:evil",
        "evil-name",
        "evil-client",
        "evil-underscore",
        "evil-mixed",
        "evil-upper",
        "evil-dots",
    ):
        assert value not in seen
    assert access.tokens["access_token"].lower() not in seen


async def test_the_servers_token_check_cannot_be_called_from_outside(
    gateway: Gateway, http: httpx.AsyncClient
) -> None:
    for path in ("/verify", "/metrics", "/verify/", "//verify", "/VERIFY/../verify"):
        assert (await http.get(gateway.issuer + path)).status_code == 404


async def test_health_metadata_and_preflight_need_no_token(gateway: Gateway, http: httpx.AsyncClient) -> None:
    for name in ("time", "fetch", "echo-stateless", "echo-stateful"):
        url = gateway.server(name)
        health = await http.get(url.removesuffix("/mcp") + "/health")
        assert (health.status_code, health.json()) == (200, {"status": "healthy"})
        metadata = (await http.get(metadata_url(url))).json()
        assert metadata["resource"] == url
        assert metadata["authorization_servers"] == [gateway.issuer]
        preflight = await http.options(
            url,
            headers={
                "Origin": "https://claude.ai",
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "authorization,mcp-protocol-version",
            },
        )
        assert preflight.status_code in (200, 204)
        assert "authorization" in preflight.headers["access-control-allow-headers"].lower()
        challenged = await http.post(url, json=INITIALIZE, headers={**HEADERS, "Origin": "https://claude.ai"})
        assert challenged.status_code == 401
        assert "WWW-Authenticate" in challenged.headers["access-control-expose-headers"]


@pytest.mark.browser
async def test_a_path_written_differently_opens_no_other_server(
    gateway: Gateway, obtain: Obtain, http: httpx.AsyncClient
) -> None:
    access = await obtain(gateway.server("time"))
    other = gateway.server("echo-stateless")
    parts = urlsplit(other)
    origin = f"{parts.scheme}://{parts.netloc}"
    for path in ("/time/..{0}", "/time/%2e%2e{0}", "/time%2f..{0}", "/{0}", "{0}/", "{0}%2f", "{0}/../mcp"):
        raw = httpx.Request(
            "POST", origin + path.format(parts.path), json=INITIALIZE, headers={**HEADERS, **access.bearer}
        )
        response = await http.send(raw)
        assert response.status_code in (400, 401, 404), path


@pytest.mark.browser
async def test_events_are_passed_on_as_they_come(
    gateway: Gateway, obtain: Obtain, http: httpx.AsyncClient
) -> None:
    """What a server writes to a stream that stays open arrives, if only a keep-alive."""
    access = await obtain(gateway.server("time"))
    opened = await http.post(access.resource, json=INITIALIZE, headers={**HEADERS, **access.bearer})
    session = {"Mcp-Session-Id": opened.headers["mcp-session-id"], "MCP-Protocol-Version": "2025-11-25"}
    headers = {"Accept": "text/event-stream", **session, **access.bearer}
    async with http.stream("GET", access.resource, headers=headers, timeout=60) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        first = await asyncio.wait_for(anext(response.aiter_lines()), 60)
        assert first.startswith((":", "id:", "retry:", "data:"))
    assert (await http.delete(access.resource, headers=headers)).status_code == 200


@pytest.mark.browser
async def test_what_a_client_says_was_forwarded_is_not_believed(
    gateway: Gateway, obtain: Obtain, http: httpx.AsyncClient
) -> None:
    """The token check is asked about the server that answers, whatever headers or request line claim."""
    access = await obtain(gateway.server("time"))
    own, other = urlsplit(gateway.server("time")), urlsplit(gateway.server("echo-stateless"))
    for spoofed in (
        {"X-Forwarded-Host": own.netloc, "X-Forwarded-Uri": own.path},
        {"X-Forwarded-Host": own.netloc, "X-Forwarded-Uri": own.path, "X-Forwarded-Method": "OPTIONS"},
        {"X-Forwarded-Uri": "/health", "X-Forwarded-Method": "OPTIONS"},
        {"Forwarded": f"host={own.netloc};proto=http", "X-Original-Url": own.path, "X-Rewrite-Url": own.path},
    ):
        response = await http.post(
            gateway.server("echo-stateless"), json=INITIALIZE, headers={**HEADERS, **access.bearer, **spoofed}
        )
        assert response.status_code == 401, spoofed

    body = json.dumps(INITIALIZE)
    lines = [
        f"POST {other.scheme}://{other.netloc}{other.path} HTTP/1.1",
        f"Host: {own.netloc}",
        *(f"{name}: {value}" for name, value in {**HEADERS, **access.bearer}.items()),
        f"Content-Length: {len(body)}",
        "Connection: close",
        "",
        body,
    ]
    reader, writer = await asyncio.open_connection("127.0.0.1", other.port or 80)
    writer.write("\r\n".join(lines).encode())
    answer = await asyncio.wait_for(reader.read(), 60)
    writer.close()
    assert answer.split()[1] in (b"400", b"401", b"404")


@pytest.mark.browser
@pytest.mark.parametrize("name", ["time", "echo-stateless", "echo-stateful", "fetch"])
async def test_whatever_is_challenged_gets_its_answer_with_the_right_token(
    gateway: Gateway, obtain: Obtain, http: httpx.AsyncClient, name: str
) -> None:
    """Nobody is signed in for something that was going to be refused: every layer gives the same answer."""
    access = await obtain(gateway.server(name))
    origins = (None, "https://claude.ai", "http://localhost:6274", "https://evil.example", "null")
    taken = (None, "*/*", "application/json", "text/event-stream", HEADERS["Accept"])
    untaken = ("text/html", "", "image/png", "application/json;q=0, text/*;q=0")
    statuses: Counter[int] = Counter()
    addresses = [*(("", origin) for origin in origins), ("/", None), ("/", "https://evil.example")]
    for (spelling, origin), accept in itertools.product(addresses, (*taken, *untaken)):
        url = access.resource + spelling
        headers = {"Content-Type": "application/json", "Accept": accept or ""}
        if accept is None:
            del headers["Accept"]
        if origin is not None:
            headers["Origin"] = origin
        for method in ("POST", "GET", "DELETE"):
            body = INITIALIZE if method == "POST" else None
            first = await http.request(method, url, headers=headers, json=body)
            statuses[first.status_code] += 1
            request = http.build_request(method, url, headers={**headers, **access.bearer}, json=body)
            answer = await http.send(request, stream=True)
            await answer.aclose()
            if session := answer.headers.get("mcp-session-id"):  # or a person's share is used up
                await http.delete(access.resource, headers={**access.bearer, "Mcp-Session-Id": session})
            if first.status_code != 401:
                assert answer.status_code == first.status_code, (method, url, headers)
                continue
            expected = answer.status_code == 200 if method == "POST" else answer.status_code not in (401, 403)
            assert expected, (method, url, headers, answer.status_code)
    foreign, allowed = 2 + 1, 3 + 1
    assert statuses == {
        403: foreign * len((*taken, *untaken)) * 3,
        406: allowed * len(untaken),
        401: allowed * (len(taken) * 3 + len(untaken) * 2),
    }


@pytest.mark.browser
@pytest.mark.parametrize("name", ["echo-stateless", "echo-stateful", "fetch"])
async def test_below_an_endpoint_a_native_server_names_the_endpoint(
    gateway: Gateway, obtain: Obtain, http: httpx.AsyncClient, name: str
) -> None:
    access = await obtain(gateway.server(name))
    for path, method in itertools.product(("/none", "/a/b"), ("POST", "GET", "DELETE")):
        url = access.resource + path
        answer = await http.request(method, url, headers={**HEADERS, **access.bearer})
        assert answer.status_code == 404, url
        message = answer.json()["error"]["message"]
        assert message.endswith(f"the MCP endpoint is {access.resource}")
