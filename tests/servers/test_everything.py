"""server-everything: all that a server can do, for clients of either era. It knows only the handshake."""

from __future__ import annotations

import asyncio
import warnings
from typing import Any

import pytest
from mcp.client import Client
from mcp.shared.exceptions import MCPDeprecationWarning, MCPError
from mcp.types import (
    BlobResourceContents,
    ElicitResult,
    EmbeddedResource,
    PromptReference,
    ResourceUpdatedNotification,
    TextContent,
    TextResourceContents,
)

RESOURCE = "demo://resource/dynamic/text/7"


async def text(client: Client, name: str, /, **arguments: Any) -> str:
    result = await client.call_tool(name, arguments)
    assert not result.is_error, result
    return "\n".join(content.text for content in result.content if isinstance(content, TextContent))


async def test_resources(connect: Any) -> None:
    async with connect("everything") as client:
        listed = {str(resource.uri) for resource in (await client.list_resources()).resources}
        assert "demo://resource/static/document/features.md" in listed
        templates = (await client.list_resource_templates()).resource_templates
        assert "demo://resource/dynamic/text/{resourceId}" in {one.uri_template for one in templates}
        plain = (await client.read_resource(RESOURCE)).contents[0]
        assert isinstance(plain, TextResourceContents)
        assert plain.text.startswith("Resource 7: ")
        binary = (await client.read_resource("demo://resource/dynamic/blob/7")).contents[0]
        assert isinstance(binary, BlobResourceContents)


async def test_prompts_and_completion(connect: Any) -> None:
    async with connect("everything") as client:
        names = {prompt.name for prompt in (await client.list_prompts()).prompts}
        assert {"simple-prompt", "args-prompt", "completable-prompt", "resource-prompt"} <= names
        prompt = await client.get_prompt("args-prompt", {"city": "Graz", "state": "Styria"})
        assert prompt.messages[0].content.text == "What's weather in Graz, Styria?"
        prompt = await client.get_prompt("resource-prompt", {"resourceType": "Text", "resourceId": "7"})
        assert isinstance(prompt.messages[1].content, EmbeddedResource)
        completed = await client.complete(
            PromptReference(type="ref/prompt", name="completable-prompt"),
            {"name": "department", "value": "S"},
        )
        assert completed.completion.values == ["Sales", "Support"]


async def test_progress(connect: Any) -> None:
    seen: list[tuple[float, float | None]] = []

    async def progress(done: float, total: float | None, message: str | None) -> None:
        seen.append((done, total))

    async with connect("everything") as client:
        result = await client.call_tool(
            "trigger-long-running-operation", {"duration": 0.2, "steps": 4}, progress_callback=progress
        )
        assert "completed" in result.content[0].text
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


async def test_logging(connect: Any, mode: str) -> None:
    logged: asyncio.Queue[Any] = asyncio.Queue()
    async with connect("everything", logging_callback=logged.put, log_level="debug") as client:
        if mode == "legacy":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", MCPDeprecationWarning)
                await client.set_logging_level("debug")
        try:
            assert "Started" in await text(client, "toggle-simulated-logging")
            message = await asyncio.wait_for(logged.get(), 10)
            assert "level" in message.data
        finally:
            assert "Stopped" in await text(client, "toggle-simulated-logging")


async def test_resource_updates(connect: Any, mode: str) -> None:
    updated: asyncio.Queue[str] = asyncio.Queue()

    async def hear(message: Any) -> None:
        if isinstance(message, ResourceUpdatedNotification):
            await updated.put(str(message.params.uri))

    async with connect("everything", message_handler=hear) as client:
        if mode == "legacy":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", MCPDeprecationWarning)
                await client.subscribe_resource(RESOURCE)
            await text(client, "toggle-subscriber-updates")
            assert await asyncio.wait_for(updated.get(), 10) == RESOURCE
        else:
            async with client.listen(resource_subscriptions=[RESOURCE]) as subscription:
                await text(client, "toggle-subscriber-updates")
                event = await asyncio.wait_for(anext(aiter(subscription)), 10)
                assert str(event.uri) == RESOURCE
        assert "Stopped" in await text(client, "toggle-subscriber-updates")


async def test_sampling(connect: Any, able: Any) -> None:
    async with connect("everything", **able) as client:
        answer = await text(client, "trigger-sampling-request", prompt="why?", maxTokens=10)
        assert "sampled: Resource trigger-sampling-request context: why?" in answer


async def test_elicitation(connect: Any, able: Any) -> None:
    async with connect("everything", **able) as client:
        assert "- Name: Ada" in await text(client, "trigger-elicitation-request")


async def test_a_declined_elicitation(connect: Any) -> None:
    async def decline(context: Any, params: Any) -> ElicitResult:
        return ElicitResult(action="decline")

    async with connect("everything", elicitation_callback=decline) as client:
        assert "declined" in await text(client, "trigger-elicitation-request")


@pytest.fixture
def visited() -> list[str]:
    return []


@pytest.fixture
def visit(visited: list[str]) -> Any:
    async def open_url(context: Any, params: Any) -> ElicitResult:
        visited.append(params.url)
        return ElicitResult(action="accept")

    return open_url


async def test_a_url_to_visit(connect: Any, visit: Any, visited: list[str]) -> None:
    async with connect("everything", elicitation_callback=visit) as client:
        url = "https://example.com/asked-for"
        assert "completed" in await text(client, "trigger-url-elicitation", url=url)
        assert visited == [url]


async def test_a_url_to_visit_first(connect: Any, mode: str, visit: Any, visited: list[str]) -> None:
    """The error -32042, which 2026-07-28 no longer knows; the server then asks for another URL."""
    call = {"url": f"https://example.com/{mode}", "errorPath": True}
    async with connect("everything", elicitation_callback=visit) as client:
        if mode == "legacy":
            with pytest.raises(MCPError) as raised:
                await client.call_tool("trigger-url-elicitation", call)
            assert raised.value.code == -32042
            assert raised.value.data["elicitations"][0]["url"] == "https://modelcontextprotocol.io"
        else:
            assert "completed" in await text(client, "trigger-url-elicitation", **call)
            assert visited == ["https://modelcontextprotocol.io", call["url"]]


async def test_roots(connect: Any, able: Any) -> None:
    async with connect("everything", **able) as client:
        assert "home of Ada" in await text(client, "get-roots-list")


@pytest.mark.parametrize("mode", ["auto", "2026-07-28"])
async def test_a_stateless_client_is_asked_by_input_required(connect: Any, able: Any) -> None:
    tool = "trigger-elicitation-request"
    async with connect("everything", **able) as client:
        first = await client.session.call_tool(tool, {}, allow_input_required=True)
        assert first.result_type == "input_required"
        ((key, question),) = first.input_requests.items()
        assert question.params.requested_schema["required"] == ["name"]
        answers = {key: ElicitResult(action="accept", content={"name": "Grace"})}
        state = first.request_state
        done = await client.call_tool(tool, {}, input_responses=answers, request_state=state)
        assert "- Name: Grace" in done.content[1].text
