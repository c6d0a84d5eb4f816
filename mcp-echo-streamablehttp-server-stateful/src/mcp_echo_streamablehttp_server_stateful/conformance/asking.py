"""Asking the client: a request inside a handshake session, an InputRequiredResult in 2026-07-28."""

from __future__ import annotations

from typing import Any

from mcp.server.mcpserver import Context
from mcp.shared.exceptions import MCPError
from mcp_echo_streamablehttp_server_stateless._common.error_codes import MISSING_CAPABILITY
from mcp_types import (
    CreateMessageRequest,
    CreateMessageRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    InputRequiredResult,
    ListRootsRequest,
    SamplingMessage,
    TextContent,
)

from .content import text

MODERN = "2026-07-28"


def form(message: str, properties: dict[str, Any], required: list[str] | None = None) -> ElicitRequest:
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    if required:
        schema["required"] = required
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def sample(prompt: str, tokens: int) -> CreateMessageRequest:
    message = SamplingMessage(role="user", content=text(prompt))
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=[message], max_tokens=tokens))


Question = ElicitRequest | CreateMessageRequest | ListRootsRequest


async def ask(
    ctx: Context, questions: dict[str, Question], state: str | None = None
) -> dict[str, Any] | InputRequiredResult:
    """The client's answers by key, or what to return so that the client comes back with them."""
    if ctx.protocol_version == MODERN:
        answers = dict(ctx.input_responses or {})
        if all(_fits(question, answers.get(key)) for key, question in questions.items()):
            return answers
        return InputRequiredResult(input_requests=dict(questions), request_state=state)
    answers = {}
    for key, question in questions.items():
        if isinstance(question, ElicitRequest):
            params = question.params
            assert isinstance(params, ElicitRequestFormParams)
            answers[key] = await ctx.session.elicit_form(
                params.message, params.requested_schema, ctx.request_context.request_id
            )
        elif isinstance(question, CreateMessageRequest):
            answers[key] = await ctx.session.create_message(
                messages=question.params.messages,
                max_tokens=question.params.max_tokens,
                related_request_id=ctx.request_context.request_id,
            )
        else:
            answers[key] = await ctx.session.list_roots()
    return answers


def _fits(question: Question, answer: Any) -> bool:
    member = {ElicitRequest: "action", CreateMessageRequest: "content", ListRootsRequest: "roots"}
    return answer is not None and hasattr(answer, member[type(question)])


def said(answer: Any) -> str:
    content = answer.content
    return content.text if isinstance(content, TextContent) else str(content)


def field(answer: Any, name: str) -> str:
    return str((answer.content or {}).get(name, ""))


def require(ctx: Context, capability: str) -> None:
    declared = ctx.client_capabilities
    if declared is None or getattr(declared, capability) is None:
        data: dict[str, object] = {"requiredCapabilities": {capability: {}}}
        raise MCPError(MISSING_CAPABILITY, f"the client must declare {capability}", data)
