"""Status codes and attacks on the endpoint, over plain HTTP."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Callable
from contextlib import closing
from typing import Any
from urllib.parse import unquote

import httpx
import pytest

Start = Callable[..., str]

ACCEPT = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
MODERN = "2026-07-28"


def rpc(method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}}


def modern(method: str, params: dict[str, Any] | None = None, **headers: str) -> dict[str, Any]:
    meta = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    sent = ACCEPT | {"MCP-Protocol-Version": MODERN, "Mcp-Method": method} | headers
    return {"json": rpc(method, (params or {}) | {"_meta": meta}), "headers": sent}


def test_health_answers_any_host_and_starts_nothing(start: Start, browser: httpx.Client) -> None:
    answer = browser.get(f"{start()}/health", headers={"Host": "10.0.0.7:3000"})
    assert (answer.status_code, answer.json()) == (200, {"status": "healthy"})
    assert "mcp-session-id" not in answer.headers


@pytest.mark.parametrize("version", ["2025-03-26", "2025-06-18", "2025-11-25"])
def test_every_handshake_version_is_agreed_to_without_a_session(
    start: Start, browser: httpx.Client, version: str
) -> None:
    hello = {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    answer = browser.post(f"{start()}/mcp", json=rpc("initialize", hello), headers=ACCEPT)
    assert answer.json()["result"]["protocolVersion"] == version
    assert answer.json()["result"]["serverInfo"]["name"] == "mcp-echo-streamablehttp-server-stateless"
    assert "mcp-session-id" not in answer.headers


def test_discover_and_a_cacheable_list_in_the_stateless_era(start: Start, browser: httpx.Client) -> None:
    url = f"{start()}/mcp"
    discovered = browser.post(url, **modern("server/discover")).json()["result"]
    assert MODERN in discovered["supportedVersions"]
    assert list(discovered["capabilities"]) == ["tools"]
    listed = browser.post(url, **modern("tools/list")).json()["result"]
    assert listed["ttlMs"] > 0
    assert listed["cacheScope"] == "public"


def test_header_and_body_must_agree(start: Start, browser: httpx.Client) -> None:
    call = {"name": "echo", "arguments": {"message": "x"}}
    url = f"{start()}/mcp"
    lying = browser.post(url, **modern("tools/call", call, **{"Mcp-Name": "printHeader"}))
    assert (lying.status_code, lying.json()["error"]["code"]) == (400, -32020)


def test_whitespace_around_a_header_value_is_no_part_of_it(start: Start) -> None:
    request = modern(
        "tools/call", {"name": "echo", "arguments": {"message": "x"}}, **{"Mcp-Name": "  echo  "}
    )
    connection = http.client.HTTPConnection(start().removeprefix("http://"), timeout=10)
    with closing(connection):
        connection.request("POST", "/mcp", json.dumps(request["json"]), request["headers"])
        answer = json.load(connection.getresponse())
    assert answer["result"]["structuredContent"] == {"message": "x"}


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "OPTIONS"])
def test_only_post_is_served(start: Start, browser: httpx.Client, method: str) -> None:
    answer = browser.request(method, f"{start()}/mcp", headers={"Accept": "text/event-stream"})
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost@evil.example", "localhost:x", ""]
)
def test_a_foreign_host_is_misdirected(start: Start, browser: httpx.Client, host: str) -> None:
    answer = browser.post(f"{start()}/mcp", json=rpc("tools/list"), headers=ACCEPT | {"Host": host})
    assert answer.status_code == 421
    assert "MCP_ALLOWED_HOSTS" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://localhost.evil.example", "file://", "https://"]
)
def test_a_foreign_origin_is_forbidden(start: Start, browser: httpx.Client, origin: str) -> None:
    answer = browser.post(f"{start()}/mcp", json=rpc("tools/list"), headers=ACCEPT | {"Origin": origin})
    assert answer.status_code == 403
    assert "MCP_ALLOWED_ORIGINS" in answer.json()["error"]["message"]


@pytest.mark.parametrize("origin", ["http://localhost:6274", "https://127.0.0.1", "http://[::1]:5173"])
def test_pages_on_this_machine_are_allowed(start: Start, browser: httpx.Client, origin: str) -> None:
    answer = browser.post(f"{start()}/mcp", json=rpc("tools/list"), headers=ACCEPT | {"Origin": origin})
    assert answer.status_code == 200


def test_named_hosts_replace_the_default(start: Start, browser: httpx.Client) -> None:
    url = start(allowed_hosts="*.example.com")
    for host, status in (
        ("echo.example.com", 200),
        ("a.b.example.com:8443", 200),
        ("example.com", 421),
        ("localhost", 421),
    ):
        answer = browser.post(f"{url}/mcp", json=rpc("tools/list"), headers=ACCEPT | {"Host": host})
        assert answer.status_code == status, host


def test_a_body_beyond_one_mebibyte_is_refused(start: Start, browser: httpx.Client) -> None:
    url = f"{start()}/mcp"
    big = json.dumps(rpc("tools/call", {"name": "echo", "arguments": {"message": "x" * 1024 * 1024}}))
    assert browser.post(url, content=big, headers=ACCEPT).status_code == 413

    def chunks() -> Any:
        yield from (big[start : start + 65536].encode() for start in range(0, len(big), 65536))

    assert browser.post(url, content=chunks(), headers=ACCEPT).status_code == 413


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ("{", 400, -32700),
        ("[]", 400, -32600),
        (json.dumps([rpc("ping")]), 400, -32600),
        ("[" * 100_000, 400, -32700),
        (json.dumps({"jsonrpc": "2.0"}), 400, -32600),
    ],
)
def test_broken_bodies_get_a_json_rpc_error(
    start: Start, browser: httpx.Client, body: str, status: int, code: int
) -> None:
    answer = browser.post(f"{start()}/mcp", content=body, headers=ACCEPT)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_a_notification_is_accepted_and_an_unknown_method_refused(
    start: Start, browser: httpx.Client
) -> None:
    url = f"{start()}/mcp"
    note = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    assert browser.post(url, json=note, headers=ACCEPT).status_code == 202
    assert browser.post(url, json=rpc("ping"), headers=ACCEPT).json()["result"] == {}
    assert browser.post(url, json=rpc("no/such"), headers=ACCEPT).json()["error"]["code"] == -32601
    assert browser.post(url, **modern("no/such")).status_code == 404


def test_identity_headers_that_come_twice_count_for_nothing(start: Start, browser: httpx.Client) -> None:
    headers = [*ACCEPT.items(), ("X-User-Id", "alice"), ("X-User-Id", "mallory")]
    body = rpc("tools/call", {"name": "authContext"})
    answer = browser.post(f"{start(trust_identity=True)}/mcp", json=body, headers=headers)
    assert answer.json()["result"]["structuredContent"]["user_id"] is None


def test_a_slash_at_the_end_of_the_address_is_no_other_address(start: Start, browser: httpx.Client) -> None:
    assert browser.post(f"{start()}/mcp/", json=rpc("tools/list"), headers=ACCEPT).status_code == 200


@pytest.mark.parametrize("id_", [None, 1.5])
def test_a_request_whose_id_is_none_is_refused(start: Start, browser: httpx.Client, id_: object) -> None:
    answer = browser.post(f"{start()}/mcp", json=rpc("ping") | {"id": id_}, headers=ACCEPT)
    assert (answer.status_code, answer.json()["id"], answer.json()["error"]["code"]) == (400, id_, -32600)


@pytest.mark.parametrize("path", ["/", "/health", "/metrics"])
def test_head_is_answered_wherever_get_is(start: Start, browser: httpx.Client, path: str) -> None:
    url = start()
    assert browser.get(url + path).status_code == 200
    assert browser.head(url + path).status_code == 200


def test_the_page_says_how_to_connect(start: Start, browser: httpx.Client) -> None:
    url = start()
    page = browser.get(url)
    assert page.headers["content-type"].startswith("text/html")
    assert f"{url}/mcp" in page.text
    assert "whichHop" in page.text
    assert (
        "https://echo.example.com/mcp" in browser.get(start(public_url="https://echo.example.com/mcp")).text
    )


def test_calls_are_counted(start: Start, browser: httpx.Client) -> None:
    url = start()
    for name in ("echo", "healthProbe"):
        browser.post(f"{url}/mcp", json=rpc("tools/call", {"name": name, "arguments": {}}), headers=ACCEPT)
    text = browser.get(f"{url}/metrics").text
    assert 'mcp_tool_calls_total{outcome="error",tool="echo"} 1.0' in text
    assert 'mcp_tool_calls_total{outcome="ok",tool="healthProbe"} 1.0' in text


def test_the_icon_is_a_uri(start: Start, browser: httpx.Client) -> None:
    """RFC 3986 section 2: a client that checks by the schema refuses every answer with one that is none."""
    discovered = browser.post(f"{start()}/mcp", **modern("server/discover")).json()["result"]
    icon = discovered["_meta"]["io.modelcontextprotocol/serverInfo"]["icons"][0]["src"]
    assert re.fullmatch(r"data:image/svg\+xml,[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+", icon)
    assert unquote(icon).endswith("</svg>")
