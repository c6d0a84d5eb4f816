"""server-everything: all that a server can do, for clients of either era. It knows only the handshake."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from mcp.client import Client
from mcp.client.context import ClientRequestContext
from mcp.shared.exceptions import MCPDeprecationWarning, MCPError
from mcp.shared.subscriptions import ResourceUpdated
from mcp.types import (
    BlobResourceContents,
    ElicitRequestFormParams,
    ElicitRequestParams,
    ElicitRequestURLParams,
    ElicitResult,
    EmbeddedResource,
    InputRequiredResult,
    InputResponses,
    PromptReference,
    ResourceUpdatedNotification,
    TextContent,
    TextResourceContents,
)

from tests.servers.conftest import Connect

Visit = Callable[[ClientRequestContext, ElicitRequestParams], Awaitable[ElicitResult]]
RESOURCE = "demo://resource/dynamic/text/7"


async def text(client: Client, name: str, /, **arguments: Any) -> str:
    result = await client.call_tool(name, arguments)
    assert not result.is_error, result
    return "\n".join(content.text for content in result.content if isinstance(content, TextContent))


async def test_resources(connect: Connect) -> None:
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


async def test_prompts_and_completion(connect: Connect) -> None:
    async with connect("everything") as client:
        names = {prompt.name for prompt in (await client.list_prompts()).prompts}
        assert {"simple-prompt", "args-prompt", "completable-prompt", "resource-prompt"} <= names
        prompt = await client.get_prompt("args-prompt", {"city": "Graz", "state": "Styria"})
        first = prompt.messages[0].content
        assert isinstance(first, TextContent)
        assert first.text == "What's weather in Graz, Styria?"
        prompt = await client.get_prompt("resource-prompt", {"resourceType": "Text", "resourceId": "7"})
        assert isinstance(prompt.messages[1].content, EmbeddedResource)
        completed = await client.complete(
            PromptReference(type="ref/prompt", name="completable-prompt"),
            {"name": "department", "value": "S"},
        )
        assert completed.completion.values == ["Sales", "Support"]


async def test_progress(connect: Connect) -> None:
    seen: list[tuple[float, float | None]] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        seen.append((progress, total))

    async with connect("everything") as client:
        result = await client.call_tool(
            "trigger-long-running-operation", {"duration": 0.2, "steps": 4}, progress_callback=note
        )
        said = result.content[0]
        assert isinstance(said, TextContent)
        assert "completed" in said.text
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


async def test_logging(connect: Connect, mode: str) -> None:
    logged: asyncio.Queue[Any] = asyncio.Queue()
    async with connect("everything", logging_callback=logged.put, log_level="debug") as client:
        if mode == "legacy":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", MCPDeprecationWarning)
                await client.set_logging_level("debug")
        try:
            assert "Started" in await text(client, "toggle-simulated-logging")
            message = await asyncio.wait_for(logged.get(), 90)
            assert "level" in message.data
        finally:
            assert "Stopped" in await text(client, "toggle-simulated-logging")


async def test_resource_updates(connect: Connect, mode: str) -> None:
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
            assert await asyncio.wait_for(updated.get(), 90) == RESOURCE
        else:
            async with client.listen(resource_subscriptions=[RESOURCE]) as subscription:
                await text(client, "toggle-subscriber-updates")
                event = await asyncio.wait_for(anext(aiter(subscription)), 90)
                assert isinstance(event, ResourceUpdated)
                assert str(event.uri) == RESOURCE
        assert "Stopped" in await text(client, "toggle-subscriber-updates")


async def test_sampling(connect: Connect, able: dict[str, Any]) -> None:
    async with connect("everything", **able) as client:
        answer = await text(client, "trigger-sampling-request", prompt="why?", maxTokens=10)
        assert "sampled: Resource trigger-sampling-request context: why?" in answer


async def test_elicitation(connect: Connect, able: dict[str, Any]) -> None:
    async with connect("everything", **able) as client:
        assert "- Name: Ada" in await text(client, "trigger-elicitation-request")


async def test_a_declined_elicitation(connect: Connect) -> None:
    async def decline(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        return ElicitResult(action="decline")

    async with connect("everything", elicitation_callback=decline) as client:
        assert "declined" in await text(client, "trigger-elicitation-request")


@pytest.fixture
def visited() -> list[str]:
    return []


@pytest.fixture
def visit(visited: list[str]) -> Visit:
    async def open_url(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        assert isinstance(params, ElicitRequestURLParams)
        visited.append(params.url)
        return ElicitResult(action="accept")

    return open_url


async def test_a_url_to_visit(connect: Connect, visit: Visit, visited: list[str]) -> None:
    async with connect("everything", elicitation_callback=visit) as client:
        url = "https://example.com/asked-for"
        assert "completed" in await text(client, "trigger-url-elicitation", url=url)
        assert visited == [url]


async def test_a_url_to_visit_first(connect: Connect, mode: str, visit: Visit, visited: list[str]) -> None:
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


async def test_roots(connect: Connect, able: dict[str, Any]) -> None:
    async with connect("everything", **able) as client:
        assert "home of Ada" in await text(client, "get-roots-list")


@pytest.mark.parametrize("mode", ["auto", "2026-07-28"])
async def test_a_stateless_client_is_asked_by_input_required(connect: Connect, able: dict[str, Any]) -> None:
    tool = "trigger-elicitation-request"
    async with connect("everything", **able) as client:
        first = await client.session.call_tool(tool, {}, allow_input_required=True)
        assert isinstance(first, InputRequiredResult)
        ((key, question),) = (first.input_requests or {}).items()
        assert isinstance(question.params, ElicitRequestFormParams)
        assert question.params.requested_schema["required"] == ["name"]
        answers: InputResponses = {key: ElicitResult(action="accept", content={"name": "Grace"})}
        state = first.request_state
        done = await client.call_tool(tool, {}, input_responses=answers, request_state=state)
        said = done.content[1]
        assert isinstance(said, TextContent)
        assert "- Name: Grace" in said.text


async def test_a_client_is_shown_the_tools_that_it_can_use(connect: Connect, able: dict[str, Any]) -> None:
    """The server leaves out what it could only do by asking: it is told what this client can be asked."""
    async with connect("everything") as client:
        assert len((await client.list_tools()).tools) == 13
    async with connect("everything", **able) as client:
        assert len((await client.list_tools()).tools) > 13
