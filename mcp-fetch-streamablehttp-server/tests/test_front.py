"""What a server shows besides its endpoint: a page, its health, its metrics; and messages that are none."""

from __future__ import annotations

import httpx
import pytest
from click.testing import CliRunner
from mcp_fetch_streamablehttp_server._common.setting_options import option_name, shown_default
from mcp_fetch_streamablehttp_server.cli import main
from mcp_fetch_streamablehttp_server.settings import Settings

from .support import Start


def test_the_page_says_how_to_connect(start: Start, browser: httpx.Client) -> None:
    url = start()
    page = browser.get(url)
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert f"{url}/mcp" in page.text
    public = browser.get(start(public_url="https://fetch.example.com/mcp"))
    assert "https://fetch.example.com/mcp" in public.text


@pytest.mark.parametrize("path", ["/", "/health", "/metrics"])
def test_head_is_answered_wherever_get_is(start: Start, browser: httpx.Client, path: str) -> None:
    url = start()
    assert browser.get(url + path).status_code == 200
    assert browser.head(url + path).status_code == 200


def test_calls_are_counted(start: Start, browser: httpx.Client) -> None:
    url = start()
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "fetch", "arguments": {}}}
    browser.post(f"{url}/mcp", json=body, headers={"accept": "application/json, text/event-stream"})
    text = browser.get(f"{url}/metrics").text
    assert 'mcp_tool_calls_total{outcome="error",tool="fetch"} 1.0' in text
    assert "mcp_fetch_workers_started 0.0" in text, "nothing was to be read"


@pytest.mark.parametrize(
    ("message", "id_"),
    [
        ({"jsonrpc": "2.0", "id": None, "method": "tools/list"}, None),
        ({"jsonrpc": "2.0", "id": 1.5, "method": "tools/list"}, 1.5),
        ({"jsonrpc": "2.0", "id": 7, "method": 5}, 7),
        ([], None),
    ],
)
def test_a_message_that_is_none_gets_one_sentence(
    start: Start, browser: httpx.Client, message: object, id_: float | None
) -> None:
    headers = {"accept": "application/json, text/event-stream"}
    answer = browser.post(f"{start()}/mcp", json=message, headers=headers)
    assert (answer.status_code, answer.json()["id"], answer.json()["error"]["code"]) == (400, id_, -32600)
    assert "JSONRPC" not in answer.text


def test_every_setting_is_an_option_with_its_default_in_the_help() -> None:
    shown = " ".join(CliRunner().invoke(main, ["--help"]).output.split())
    for name in Settings.model_fields:
        assert f"{option_name(name, 'fetch_')} " in shown
        assert f"[MCP_{name.upper()}, default {shown_default(Settings, name) or 'none'}]" in shown
    refused = CliRunner().invoke(main, ["--max-bytes", "many"])
    assert refused.exit_code == 2
    assert "MCP_FETCH_MAX_BYTES must be a whole number of bytes" in refused.output
