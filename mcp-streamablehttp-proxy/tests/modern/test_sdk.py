"""The SDK's own client, in both modes, in front of servers of every kind."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable

import pytest
from mcp.client import Client, ClientRequestContext
from mcp.types import CallToolResult, ElicitRequestParams, ElicitResult, TextContent

from ..support import Command, Start
from .support import Commands

Url = Callable[[str | Command], Awaitable[str]]
MakeClient = Callable[[str], Client]

TIME = (sys.executable, "-m", "mcp_server_time", "--local-timezone", "UTC")


@pytest.fixture(params=["2026-07-28", "auto", "legacy"])
def mode(request: pytest.FixtureRequest) -> str:
    param: str = request.param
    return param


@pytest.fixture
async def url(start: Start, commands: Commands) -> Url:
    async def run(command: str | Command) -> str:
        running = await start(command=commands[command] if isinstance(command, str) else command)
        return f"http://127.0.0.1:{running.port}/mcp"

    return run


@pytest.fixture
def client(mode: str) -> MakeClient:
    def make(address: str) -> Client:
        async def name(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
            return ElicitResult(action="accept", content={"name": "Ada"})

        return Client(address, mode=mode, elicitation_callback=name)

    return make


def text(result: CallToolResult) -> str:
    block = result.content[0]
    assert isinstance(block, TextContent)
    return block.text


async def test_a_dual_era_server_is_reached_in_every_mode(url: Url, client: MakeClient) -> None:
    async with client(await url(TIME)) as connected:
        tools = await connected.list_tools()
        assert {tool.name for tool in tools.tools} == {"get_current_time", "convert_time"}
        result = await connected.call_tool("get_current_time", {"timezone": "Europe/Vienna"})
        assert json.loads(text(result))["timezone"] == "Europe/Vienna"


async def test_a_handshake_only_server_is_reached_in_every_mode(
    url: Url, client: MakeClient, mode: str
) -> None:
    async with client(await url("handshake")) as connected:
        expected = "2025-11-25" if mode == "legacy" else "2026-07-28"
        assert connected.protocol_version == expected
        assert "test_simple_text" in {tool.name for tool in (await connected.list_tools()).tools}
        asked = await connected.call_tool("test_input_required_result_elicitation", {})
        assert text(asked) == "Hello, Ada!"
        mirrored = await connected.call_tool("test_x_mcp_header", {"region": "wörld"})
        assert text(mirrored) == "region=wörld"


async def test_a_modern_only_server_is_reached_in_every_mode(url: Url, client: MakeClient) -> None:
    async with client(await url("modern")) as connected:
        assert "greet" in {tool.name for tool in (await connected.list_tools()).tools}
        result = await connected.call_tool("params", {"x": 1})
        assert json.loads(text(result))["arguments"] == {"x": 1}
