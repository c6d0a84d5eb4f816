"""Tools that say something while they work: logs, progress, what changed."""

from __future__ import annotations

from typing import Any

import anyio
from mcp.server.mcpserver import Context
from mcp_types import EmptyResult, SetLevelRequestParams

from .asking import MODERN
from .server import server

LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
level = {"now": "debug"}


async def set_level(ctx: Any, params: SetLevelRequestParams) -> EmptyResult:
    level["now"] = params.level
    return EmptyResult()


async def _log(ctx: Context, text: str) -> None:
    if LEVELS.index("info") >= LEVELS.index(level["now"]):
        await ctx.info(text)


@server.tool(structured_output=False)
async def test_tool_with_logging(ctx: Context) -> str:
    """Logs three times."""
    await _log(ctx, "Tool execution started")
    await anyio.sleep(0.05)
    await _log(ctx, "Tool processing data")
    await anyio.sleep(0.05)
    await _log(ctx, "Tool execution completed")
    return "Tool execution completed with logging"


@server.tool(structured_output=False)
async def test_logging_tool(ctx: Context) -> str:
    """Logs once, for whoever asked for logs."""
    await _log(ctx, "logged")
    return "logged"


@server.tool(structured_output=False)
async def test_tool_with_progress(ctx: Context) -> str:
    """Reports progress three times."""
    for done in (0, 50, 100):
        await ctx.report_progress(done, 100)
        await anyio.sleep(0.05)
    return "done"


@server.tool(structured_output=False)
async def test_reconnection() -> str:
    """Takes a moment, as a client sees it that loses its stream."""
    await anyio.sleep(0.2)
    return "Reconnection test completed successfully"


@server.tool(structured_output=False)
async def test_trigger_tool_change(ctx: Context) -> str:
    """Says that the list of tools changed."""
    await ctx.notify_tools_changed()
    if ctx.protocol_version != MODERN:
        await ctx.session.send_tool_list_changed()
    return "tools changed"


@server.tool(structured_output=False)
async def test_trigger_prompt_change(ctx: Context) -> str:
    """Says that the list of prompts changed."""
    await ctx.notify_prompts_changed()
    if ctx.protocol_version != MODERN:
        await ctx.session.send_prompt_list_changed()
    return "prompts changed"
