"""What crosses the bridge, against the SDK's servers and clients of both eras."""

from __future__ import annotations

import asyncio
import signal
import sys

import pytest
from mcp import StdioServerParameters
from mcp.client.client import Client

from .support import Run, StartBridge


@pytest.mark.parametrize("mode", ["legacy", "auto", "2026-07-28"])
async def test_the_sdk_client_works_through_the_bridge(
    mode: str, sdk_url: str, environment: dict[str, str]
) -> None:
    child = StdioServerParameters(
        command=sys.executable, args=["-m", "mcp_streamablehttp_client", sdk_url], env=environment
    )
    async with Client(child, mode=mode) as client:
        tools = await client.list_tools()
        result = await client.call_tool("add", {"a": 2, "b": 40})
    assert [tool.name for tool in tools.tools] == ["add", "fail", "wait", "greet"]
    assert result.structured_content == {"result": 42}


async def test_the_server_can_ask_the_host_and_report_progress(sdk_url: str, bridge: StartBridge) -> None:
    host = await bridge(sdk_url)
    await host.handshake(elicitation={})
    host.request(1, "tools/call", {"name": "greet", "arguments": {}, "_meta": {"progressToken": "p"}})
    progress = await host.message()
    assert progress["method"] == "notifications/progress"
    assert progress["params"]["progressToken"] == "p"
    question = await host.message()
    assert question["method"] == "elicitation/create"
    answer = {"action": "accept", "content": {"name": "Ada"}}
    host.send({"jsonrpc": "2.0", "id": question["id"], "result": answer})
    assert (await host.answer(1))["result"]["content"][0]["text"] == "Hello Ada"


async def test_requests_are_in_flight_together(sdk_url: str, bridge: StartBridge) -> None:
    host = await bridge(sdk_url)
    await host.handshake()
    host.request("slow", "tools/call", {"name": "wait", "arguments": {"seconds": 20}})
    host.request("fast", "tools/call", {"name": "add", "arguments": {"a": 1, "b": 2}})
    assert (await host.message())["id"] == "fast"


async def test_messages_sent_before_the_handshake_is_over_wait_for_it(
    sdk_url: str, bridge: StartBridge
) -> None:
    host = await bridge(sdk_url)
    client = {"name": "hasty", "version": "1"}
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client}
    host.request(1, "initialize", params)
    host.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
    host.request(2, "tools/call", {"name": "add", "arguments": {"a": 1, "b": 2}})
    assert "error" not in await host.answer(1)
    assert (await host.answer(2))["result"]["structuredContent"] == {"result": 3}


async def test_what_is_not_json_rpc_is_answered_and_nothing_else_suffers(
    sdk_url: str, bridge: StartBridge
) -> None:
    host = await bridge(sdk_url)
    host.send(b"{not json")
    assert (await host.message())["error"]["code"] == -32700
    host.send(b"[" * 100_000)
    assert (await host.message())["error"]["code"] == -32700
    host.send(b'"a string"')
    assert (await host.message())["error"]["code"] == -32700
    assert "result" in await host.handshake()


async def test_a_server_that_cannot_be_reached_is_an_error_answer(bridge: StartBridge) -> None:
    host = await bridge("http://127.0.0.1:1/mcp")
    answer = await host.handshake()
    assert "Cannot connect to 127.0.0.1:1" in answer["error"]["message"]
    status, _ = await host.close()
    assert status == 0


async def test_the_bridge_ends_when_told_to(sdk_url: str, bridge: StartBridge) -> None:
    host = await bridge(sdk_url)
    await host.handshake()
    host.request(1, "tools/call", {"name": "wait", "arguments": {"seconds": 60}})
    host.process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(host.process.wait(), 90) == 0


async def test_the_bridge_ends_when_the_host_closes_stdin(sdk_url: str, bridge: StartBridge) -> None:
    host = await bridge(sdk_url)
    await host.handshake()
    host.request(1, "tools/call", {"name": "wait", "arguments": {"seconds": 60}})
    status, _ = await host.close()
    assert status == 0


async def test_answers_due_at_once_are_still_delivered_after_stdin_closed(sdk_url: str, run: Run) -> None:
    lines = (
        b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25",'
        b'"capabilities":{},"clientInfo":{"name":"pipe","version":"1"}}}\n'
        b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n'
        b'{"jsonrpc":"2.0","id":2,"method":"tools/list"}\n'
    )
    finished = await run(sdk_url, stdin=lines)
    assert finished.status == 0
    assert '"id":2' in finished.stdout
