"""Status codes of the endpoint, over plain HTTP."""

import json
from collections.abc import Callable

import httpx
import pytest

Start = Callable[..., str]
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
    with browser.stream("POST", f"{start()}/mcp", json=body, headers=ACCEPT) as answer:
        line = next(line for line in answer.iter_lines() if line.startswith("data:"))
    assert json.loads(line.removeprefix("data:"))["result"]["protocolVersion"] == version
    assert "mcp-session-id" not in answer.headers


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_only_post_is_served(start: Start, browser: httpx.Client, method: str) -> None:
    assert browser.request(method, f"{start()}/mcp", headers=ACCEPT).status_code == 405


def test_a_body_beyond_one_mebibyte_is_refused(start: Start, browser: httpx.Client) -> None:
    assert browser.post(f"{start()}/mcp", content=b" " * (1024 * 1024 + 1), headers=ACCEPT).status_code == 413
