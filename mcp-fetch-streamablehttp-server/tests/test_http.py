"""Status codes of the endpoint, over plain HTTP."""

from __future__ import annotations

import httpx
import pytest

from .support import Start

ACCEPT = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}


def test_health_answers_any_host(start: Start, browser: httpx.Client) -> None:
    answer = browser.get(f"{start()}/health", headers={"Host": "10.0.0.7:3000"})
    assert (answer.status_code, answer.json()) == (200, {"status": "healthy"})


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "evil.example"}, 421),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:6274"}, 200),
        ({"Accept": "text/html"}, 406),
        ({"Accept": "application/json"}, 200),
        ({"Accept": "text/event-stream"}, 200),
        ({"Accept": "*/*"}, 200),
    ],
)
def test_host_origin_and_accept(
    start: Start, browser: httpx.Client, headers: dict[str, str], status: int
) -> None:
    assert browser.post(f"{start()}/mcp", json=LIST, headers=ACCEPT | headers).status_code == status


@pytest.mark.parametrize("version", ["2025-03-26", "2025-06-18", "2025-11-25"])
def test_every_handshake_version(start: Start, browser: httpx.Client, version: str) -> None:
    hello = {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}
    answer = browser.post(f"{start()}/mcp", json=body, headers=ACCEPT)
    assert answer.json()["result"]["protocolVersion"] == version
    assert "mcp-session-id" not in answer.headers


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_only_post_is_served(start: Start, browser: httpx.Client, method: str) -> None:
    assert browser.request(method, f"{start()}/mcp", headers=ACCEPT).status_code == 405


def test_a_body_beyond_one_mebibyte_is_refused(start: Start, browser: httpx.Client) -> None:
    assert browser.post(f"{start()}/mcp", content=b" " * (1024 * 1024 + 1), headers=ACCEPT).status_code == 413


def test_a_slash_at_the_end_of_the_address_is_no_other_address(start: Start, browser: httpx.Client) -> None:
    assert browser.post(f"{start()}/mcp/", json=LIST, headers=ACCEPT).status_code == 200
