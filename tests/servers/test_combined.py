"""Unmodified servers from npm and PyPI, all behind one /mcp, and the SDK's client in every mode."""

from __future__ import annotations

import json
from typing import Any

from mcp.client import Client
from mcp.types import PromptReference, TextContent

SERVERS = ("everything", "memory", "filesystem", "sequential-thinking", "time", "fetch", "git")


async def text(client: Client, name: str, /, **arguments: Any) -> str:
    result = await client.call_tool(name, arguments)
    assert not result.is_error, result
    return "\n".join(content.text for content in result.content if isinstance(content, TextContent))


async def test_all_servers_are_one(url: str, mode: str, able: dict[str, Any]) -> None:
    async with Client(url.replace("/{name}", ""), mode=mode, **able) as client:
        tools = {tool.name for tool in (await client.list_tools()).tools}
        assert {name for name in SERVERS if any(tool.startswith(f"{name}_") for tool in tools)} == set(
            SERVERS
        )
        now = json.loads(await text(client, "time_get_current_time", timezone="Europe/Vienna"))
        assert now["timezone"] == "Europe/Vienna"
        assert await text(client, "everything_echo", message="hello") == "Echo: hello"
        assert "Ada" in await text(client, "everything_trigger-elicitation-request")
        assert "sampled: " in await text(
            client, "everything_trigger-sampling-request", prompt="hi", maxTokens=9
        )
        assert "home of Ada" in await text(client, "everything_get-roots-list")
        prompts = {prompt.name for prompt in (await client.list_prompts()).prompts}
        assert {"everything_simple-prompt", "fetch_fetch"} <= prompts
        completed = await client.complete(
            PromptReference(type="ref/prompt", name="everything_completable-prompt"),
            {"name": "department", "value": "S"},
        )
        assert completed.completion.values == ["Sales", "Support"]
        listed = [str(one.uri) for one in (await client.list_resources()).resources]
        assert (await client.read_resource(listed[0])).contents
        assert (await client.read_resource("demo://resource/dynamic/text/7")).contents
