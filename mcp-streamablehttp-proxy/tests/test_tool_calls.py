"""What an operator sees of calls of tools: audit lines and counts."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from mcp_streamablehttp_proxy._common.channel import ChannelError, Turn, TurnCancelledError
from mcp_streamablehttp_proxy._common.jsonrpc import Message, parse
from mcp_streamablehttp_proxy.metrics import Metrics, ToolTallies
from mcp_streamablehttp_proxy.settings import Settings, Tools
from mcp_streamablehttp_proxy.tool_calls import ToolCalls

from .support import Start


def lines(caplog: pytest.LogCaptureFixture) -> list[Any]:
    """Records with the attributes that `extra` gave them, which no type knows."""
    return [record for record in caplog.records if record.name == "mcp_streamablehttp_proxy.audit"]


async def test_each_call_is_a_line_without_content(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    proxy = await start(settings=Settings(trust_identity=True), tools=Tools(deny=("pid",), prefix="p_"))
    client = await proxy.opened(**{"x-user-id": "ada"})
    await client.call("p_echo", text="s3cret")
    await client.post(client.tool("p_pid"))
    await client.post({"jsonrpc": "2.0", "id": "l", "method": "ping"})
    echo, pid = lines(caplog)
    assert (echo.user, echo.server, echo.tool, echo.outcome) == ("ada", "default", "p_echo", "ok")
    assert echo.ms >= 0
    assert (pid.tool, pid.outcome) == ("p_pid", "error")
    assert "s3cret" not in str([vars(line) for line in lines(caplog)])


async def test_a_call_whose_process_ends_has_failed(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    client = await (await start()).opened()
    await client.post(client.tool("die"))
    assert [line.outcome for line in lines(caplog)] == ["failed"]


async def test_metrics_know_tools_that_answered_and_no_other_name(start: Start) -> None:
    proxy = await start(tools=Tools(allow=("echo",)))
    client = await proxy.opened()
    await client.call("echo", text="a")
    await client.call("echo", text="b")
    for number in range(5):
        await client.post(client.tool(f"made-up-{number}"))
    page = (await proxy.http.get("/metrics")).text
    assert 'mcp_proxy_tool_calls_total{outcome="ok",server="default",tool="echo"} 2.0' in page
    assert 'mcp_proxy_tool_seconds_count{server="default",tool="echo"} 2.0' in page
    other = 'mcp_proxy_tool_calls_total{outcome="error",server="default",tool="other"} 5.0'
    assert other in page
    assert "made-up" not in page


def test_a_server_with_names_without_end_fills_no_memory() -> None:
    tallies = ToolTallies()
    for number in range(1000):
        tallies.observe(f"tool-{number}", "ok", 0.1)
    assert len(tallies.latency) == 101
    assert sum(tallies.calls.values()) == 1000


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (TurnCancelledError("gone"), "cancelled"),
        (ChannelError("ended"), "failed"),
        (b'{"content":[{"text":"\\"isError\\""}]}', "ok"),
        (b'{"isError":false}', "ok"),
        (b'{"isError" : true}', "tool_error"),
        (b'{"resultType":"input_required","inputRequests":{}}', "input_required"),
    ],
)
def test_outcomes(outcome: Exception | bytes, expected: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    message = Message.request("tools/call", {"name": "now"})
    turn = Turn(message, None)  # type: ignore[arg-type]
    ToolCalls("time", Metrics().server("time")).watch(turn)
    turn.settle(message.answered(outcome) if isinstance(outcome, bytes) else outcome)
    assert [line.outcome for line in lines(caplog)] == [expected]


def test_no_name_of_a_tool_keeps_metrics_from_being_read() -> None:
    metrics = Metrics()
    call = rb'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"half \ud800"}}'
    turn = Turn(parse(call), None)  # type: ignore[arg-type]
    ToolCalls("time", metrics.server("time")).watch(turn)
    turn.settle(turn.message.answered(b"{}"))
    assert 'tool="half ?"' in metrics.page().decode()
