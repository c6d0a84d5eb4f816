"""Remote servers on the official SDK, over each of its transports, and its client in each of its modes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from mcp.client import Client, ClientRequestContext
from mcp.types import ElicitRequestParams, ElicitResult, TextContent
from mcp_streamablehttp_proxy.settings import RemoteServer

from ..support import Client as RawClient
from ..support import Start

SERVER = Path(__file__).parents[1] / "servers" / "sdk_http.py"


@contextlib.asynccontextmanager
async def elsewhere(kind: str) -> AsyncIterator[str]:
    """The address of a server in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(SERVER), kind, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        port = int(await process.stdout.readline())
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.kill()
        await process.wait()


@pytest.mark.parametrize("mode", ["2026-07-28", "legacy"])
@pytest.mark.parametrize("kind", ["events", "json", "stateless", "sse"])
async def test_a_server_is_the_same_through_the_proxy(kind: str, mode: str, start: Start) -> None:
    async def name(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        return ElicitResult(action="accept", content={"name": "Ada"})

    noted: list[float] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        noted.append(progress)

    async with elsewhere(kind) as url:
        running = await start(RemoteServer(name="it", url=url))
        address = f"http://127.0.0.1:{running.port}/it/mcp"
        async with Client(address, mode=mode, elicitation_callback=name) as client:
            assert {tool.name for tool in (await client.list_tools()).tools} == {"add", "greet", "count"}
            added = (await client.call_tool("add", {"a": 2, "b": 3})).content[0]
            assert isinstance(added, TextContent)
            assert added.text == "5"
            counted = await client.call_tool("count", {}, progress_callback=note)
            assert not counted.is_error
            # This tool asks in the way of the handshake era, which needs a stream and a session.
            if kind == "sse" or (kind, mode) == ("events", "legacy"):
                assert noted == [1]
                greeted = (await client.call_tool("greet", {})).content[0]
                assert isinstance(greeted, TextContent)
                assert greeted.text == "hello Ada"


@pytest.mark.parametrize("era", ["handshake", "modern"])
async def test_a_server_that_is_away_is_502_and_nothing_is_learned_of_its_era(era: str, start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    running = await start(RemoteServer(name="it", url=f"http://127.0.0.1:{port}/mcp", wait=0.0))
    headers = {"mcp-protocol-version": "2026-07-28", "mcp-method": "server/discover"}
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    discover = {"jsonrpc": "2.0", "id": 1, "method": "server/discover", "params": {"_meta": meta}}
    if era == "modern":
        answer = await running.client("/it/mcp", **headers).post(discover)
    else:
        answer = await running.client("/it/mcp").post(RawClient.initialization())
    assert answer.status_code == 502
    assert f"server it cannot be reached at http://127.0.0.1:{port}/mcp" in answer.text
    assert "cannot be reached" in running.app.hub.troubles()["it"]
    assert running.app.hub.endpoints["it"].pool.openers.modern is None
