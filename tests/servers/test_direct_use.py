"""The proxy without the gateway: a page of another origin, in a real browser, with an API key."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import browser_page
from tests.messages import INITIALIZE
from tests.proxy_process import proxy_process
from tests.servers.conftest import Command

KEY = "ada:0123456789abcdef0123"
CALL = """async ([url, key, body]) => {
  const headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"};
  if (key) headers["authorization"] = "Bearer " + key;
  try {
    const answer = await fetch(url, {method: "POST", headers, body: JSON.stringify(body)});
    return {status: answer.status, session: answer.headers.get("mcp-session-id"),
            challenge: answer.headers.get("www-authenticate"), body: await answer.json()};
  } catch (error) { return {blocked: String(error)}; }
}"""


class _Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>A page</title>")

    def log_message(self, *_: object) -> None:
        """Nothing into the output of the tests."""


@pytest.fixture(scope="module")
def page_port() -> Iterator[int]:
    """A page that is at 127.0.0.1 and at localhost, which are two origins."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


async def test_a_listed_page_calls_with_its_key_and_reads_what_it_needs(
    commands: dict[str, Command], tmp_path: Path, page_port: int
) -> None:
    listed, other, key = (
        f"http://127.0.0.1:{page_port}",
        f"http://localhost:{page_port}",
        KEY.partition(":")[2],
    )
    options = ("--cors-origins", listed, "--api-key", KEY)
    with proxy_process(tmp_path / "proxy.log", *options, "--", *commands["time"]) as proxy:
        async with browser_page() as page:

            async def initialize(origin: str, key: str) -> dict[str, Any]:
                await page.goto(origin)
                answer: dict[str, Any] = await page.evaluate(CALL, [f"{proxy.url}/mcp", key, INITIALIZE])
                return answer

            answered = await initialize(listed, key)
            assert answered["status"] == 200
            assert answered["session"]
            assert answered["body"]["result"]["serverInfo"]
            refused = await initialize(listed, "")
            assert refused["status"] == 401
            assert refused["challenge"].startswith("Bearer ")
            assert "blocked" in await initialize(other, key)
    assert key not in (tmp_path / "proxy.log").read_text()
