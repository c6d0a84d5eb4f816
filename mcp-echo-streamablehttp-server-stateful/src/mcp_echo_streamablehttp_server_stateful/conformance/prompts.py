"""Prompts, and completion of their arguments."""

from __future__ import annotations

from typing import Any

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.prompts.base import Message, UserMessage
from mcp_types import Completion, InputRequiredResult

from .asking import ask, field, form
from .content import IMAGE, embedded
from .server import server


@server.prompt()
def test_simple_prompt() -> str:
    """A prompt without arguments."""
    return "This is a simple prompt for testing."


@server.prompt()
def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
    """A prompt with two arguments."""
    return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"


@server.prompt()
def test_prompt_with_embedded_resource(resourceUri: str) -> list[Message]:  # noqa: N803
    """A prompt with an embedded resource."""
    resource = embedded(resourceUri, "text/plain", "Embedded resource content for testing.")
    return [UserMessage(resource), UserMessage("Please process the embedded resource above.")]


@server.prompt()
def test_prompt_with_image() -> list[Message]:
    """A prompt with an image."""
    return [UserMessage(IMAGE), UserMessage("Please analyze the image above.")]


@server.prompt()
async def test_input_required_result_prompt(ctx: Context) -> list[Message] | InputRequiredResult:
    """A prompt that asks first."""
    question = form("What context should the prompt use?", {"context": {"type": "string"}}, ["context"])
    answers = await ask(ctx, {"user_context": question})
    if isinstance(answers, InputRequiredResult):
        return answers
    return [UserMessage(f"Context: {field(answers['user_context'], 'context')}")]


@server.completion()  # type: ignore[no-untyped-call,untyped-decorator]  # untyped in the SDK
async def complete(ref: Any, argument: Any, context: Any) -> Completion:
    values = [value for value in ("paris", "park", "party") if value.startswith(argument.value)]
    return Completion(values=values, total=len(values), has_more=False)
