"""The servers of the compose file's profiles: real ones from npm and PyPI, unmodified, behind the proxy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gateway import environment
from tests.compose.engine import Engine
from tests.compose.stack import Stack, prepare

pytestmark = [pytest.mark.compose, pytest.mark.timeout(1200)]

# One tool of each, and what a call of it answers.
CALLS = {
    "memory": ("read_graph", {}, "entities"),
    "filesystem": ("list_directory", {"path": "/data"}, ""),
    "sequentialthinking": (
        "sequentialthinking",
        {"thought": "1", "nextThoughtNeeded": False, "thoughtNumber": 1, "totalThoughts": 1},
        "thoughtNumber",
    ),
    "everything": ("echo", {"message": "unmodified"}, "unmodified"),
    "official-fetch": ("fetch", {"url": "not a url"}, "url"),
}

CLIENT = """
import http.client, json
session = {{}}
def post(message):
    connection = http.client.HTTPConnection("127.0.0.1", 3000, timeout=120)
    headers = {{"Host": {host!r}, "Content-Type": "application/json", **session,
               "Accept": "application/json, text/event-stream"}}
    connection.request("POST", "/mcp", json.dumps({{"jsonrpc": "2.0", **message}}), headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    if answer.getheader("Mcp-Session-Id"):
        session["Mcp-Session-Id"] = answer.getheader("Mcp-Session-Id")
    if text.startswith(("event:", "id:", "data:", ":", "retry:")):
        text = [line[6:] for line in text.splitlines() if line.startswith("data: {{")][-1]
    return json.loads(text) if text else None
post({{"id": 1, "method": "initialize", "params": {{"protocolVersion": "2025-11-25", "capabilities": {{}},
      "clientInfo": {{"name": "test", "version": "1"}}}}}})
post({{"method": "notifications/initialized"}})
print(json.dumps(post({{"id": 2, "method": "tools/call", "params": {params!r}}})))
"""


@pytest.fixture(scope="module")
def servers(engine: Engine, images: dict[str, str], folder: Path) -> Iterator[Stack]:
    """Only the servers: what is in front of them is the other tests' business."""
    with prepare(engine, images, folder, "one host", COMPOSE_PROFILES="*") as stack:
        environment.write_missing_secrets(stack.env_file, stack.env_file)
        stack.compose("up", "--detach", "--no-build", "--no-deps", "--wait", *CALLS)
        yield stack


@pytest.mark.parametrize("name", CALLS)
def test_a_server_of_a_profile_answers(servers: Stack, name: str) -> None:
    tool, arguments, expected = CALLS[name]
    host = urlsplit(servers.issuer).netloc
    program = CLIENT.format(host=host, params={"name": tool, "arguments": arguments})
    answer = json.loads(servers.python(name, program))
    assert answer["id"] == 2
    assert expected in json.dumps(answer["result"])


def test_servers_run_without_privileges(servers: Stack) -> None:
    for name in CALLS:
        assert servers.python(name, "import os; print(os.getuid())") == "10001"
