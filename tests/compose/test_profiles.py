"""The servers of the compose file's profiles: real ones from npm and PyPI, unmodified, behind the proxy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from tests.compose.engine import Engine
from tests.compose.stack import Stack, start_compose
from tests.compose.tokens import access_token

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


class Session:
    """A handshake session with one server through the gate."""

    def __init__(self, stack: Stack, name: str) -> None:
        self._url = stack.server(name)
        token = access_token(stack, self._url)
        accept = "application/json, text/event-stream"
        self._http = httpx.Client(headers={"Authorization": f"Bearer {token}", "Accept": accept}, timeout=120)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def post(self, **message: object) -> dict[str, Any] | None:
        answer = self._http.post(self._url, json={"jsonrpc": "2.0", **message})
        assert answer.is_success, answer.text
        if "mcp-session-id" in answer.headers:
            self._http.headers["Mcp-Session-Id"] = answer.headers["mcp-session-id"]
        text = answer.text
        if answer.headers.get("content-type", "").startswith("text/event-stream"):
            text = [line[6:] for line in text.splitlines() if line.startswith("data: {")][-1]
        return cast("dict[str, Any]", json.loads(text)) if text else None


@pytest.fixture(scope="module")
def servers(engine: Engine, images: dict[str, str], folder: Path) -> Iterator[Stack]:
    with start_compose(engine, images, folder, "one host", COMPOSE_PROFILES="*") as stack:
        yield stack


@pytest.mark.parametrize("name", CALLS)
def test_a_server_of_a_profile_answers(servers: Stack, name: str) -> None:
    tool, arguments, expected = CALLS[name]
    client = {"name": "test", "version": "1"}
    about = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client}
    with Session(servers, name) as session:
        session.post(id=1, method="initialize", params=about)
        session.post(method="notifications/initialized")
        answer = session.post(id=2, method="tools/call", params={"name": tool, "arguments": arguments})
    assert answer is not None
    assert answer["id"] == 2
    assert expected in json.dumps(answer["result"])


def test_servers_run_without_privileges(servers: Stack) -> None:
    for name in CALLS:
        assert servers.python(name, "import os; print(os.getuid())") == "10001"
