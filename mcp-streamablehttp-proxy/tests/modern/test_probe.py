"""Which era a child speaks is found out by asking it."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable

import pytest

from ..support import Start
from .support import Modern

ClientOf = Callable[[str], Awaitable[Modern]]
"""Takes the child's program."""

SILENT = """
import json, sys, time
for line in sys.stdin:
    message = json.loads(line)
    if message["method"] == "initialize":
        info = {"name": "silent", "version": "1"}
        result = {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": info}
    elif message["method"] == "server/discover" or "id" not in message:
        continue
    else:
        result = {}
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
"""
SLOW = """
import json, sys, time
time.sleep(0.5)
for line in sys.stdin:
    message = json.loads(line)
    if message["method"] == "server/discover":
        result = {"result": {"supportedVersions": ["2026-07-28"], "capabilities": {}}}
    elif "id" in message:
        result = {"error": {"code": -32022, "message": "too late"}}
    else:
        continue
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **result}), flush=True)
"""
NEITHER = """
import json, sys
for line in sys.stdin:
    error = {"code": -32000, "message": "no"}
    print(json.dumps({"jsonrpc": "2.0", "id": json.loads(line).get("id"), "error": error}), flush=True)
"""


@pytest.fixture
def client_of(start: Start, monkeypatch: pytest.MonkeyPatch) -> ClientOf:
    monkeypatch.setattr("mcp_streamablehttp_proxy.server.openers.PATIENCE", 0.2)

    async def run(program: str) -> Modern:
        running = await start(command=(sys.executable, "-c", program))
        return Modern(running.http, running)

    return run


async def era(client: Modern) -> str:
    await client.ask("server/discover")
    (place,) = client.endpoint.pool._all_places()
    backend = place.backend
    assert backend is not None
    return "modern" if backend.channel is backend.child else "handshake"


async def test_a_server_that_answers_is_asked_in_its_era(native: Modern, translated: Modern) -> None:
    assert await era(native) == "modern"
    assert await era(translated) == "handshake"


async def test_silence_means_the_handshake_era(client_of: ClientOf) -> None:
    client = await client_of(SILENT)
    result = (await client.ask("server/discover"))["result"]
    assert result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "silent"
    assert await era(client) == "handshake"


async def test_a_slow_server_that_refuses_initialize_is_modern_all_the_same(client_of: ClientOf) -> None:
    client = await client_of(SLOW)
    assert (await client.ask("server/discover"))["result"]["supportedVersions"] == ["2026-07-28"]
    assert await era(client) == "modern"


async def test_a_server_of_neither_era_is_a_bad_gateway(client_of: ClientOf) -> None:
    client = await client_of(NEITHER)
    response = await client.post(client.request("tools/list"))
    assert response.status_code == 502
    assert "refused to initialize" in response.json()["error"]["message"]
