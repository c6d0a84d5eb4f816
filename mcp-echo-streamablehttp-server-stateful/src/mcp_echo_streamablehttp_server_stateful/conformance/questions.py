"""Tools that ask: what the suite puts to a client in a session, and to one of 2026-07-28 as well."""

from __future__ import annotations

import json
from typing import Any

from mcp.server.mcpserver import Context
from mcp_types import ElicitRequest, InputRequiredResult

from .asking import ask, form, require, said, sample
from .server import server


@server.tool(structured_output=False)
async def test_sampling(ctx: Context, prompt: str) -> str | InputRequiredResult:
    """Asks the client's model."""
    require(ctx, "sampling")
    answers = await ask(ctx, {"sample": sample(prompt, 100)})
    if isinstance(answers, InputRequiredResult):
        return answers
    return f"LLM response: {said(answers['sample'])}"


@server.tool(structured_output=False)
async def test_missing_capability(ctx: Context) -> str:
    """Needs sampling."""
    require(ctx, "sampling")
    return "the client has sampling"


async def _elicited(ctx: Context, question: ElicitRequest, said: str) -> str | InputRequiredResult:
    require(ctx, "elicitation")
    answers = await ask(ctx, {"answer": question})
    if isinstance(answers, InputRequiredResult):
        return answers
    answer = answers["answer"]
    return f"{said}: action={answer.action}, content={json.dumps(answer.content or {})}"


@server.tool(structured_output=False)
async def test_elicitation(ctx: Context, message: str) -> str | InputRequiredResult:
    """Asks the user for a name and an address."""
    fields = {
        "username": {"type": "string", "description": "User's response"},
        "email": {"type": "string", "description": "User's email address"},
    }
    return await _elicited(ctx, form(message, fields, ["username", "email"]), "User response")


@server.tool(structured_output=False)
async def test_streaming_elicitation(ctx: Context) -> str | InputRequiredResult:
    """Reports progress, then asks."""
    await ctx.report_progress(1, 2)
    return await _elicited(ctx, form("Go on?", {"ok": {"type": "boolean"}}), "Answer")


@server.tool(structured_output=False)
async def test_elicitation_sep1034_defaults(ctx: Context) -> str | InputRequiredResult:
    """Asks with a default for every primitive type."""
    fields = {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": True},
    }
    return await _elicited(ctx, form("Check the values", fields), "Elicitation completed")


def _titled(kind: str, *pairs: tuple[str, str]) -> dict[str, Any]:
    return {kind: [{"const": value, "title": title} for value, title in pairs]}


@server.tool(structured_output=False)
async def test_elicitation_sep1330_enums(ctx: Context) -> str | InputRequiredResult:
    """Asks with every kind of enumeration."""
    options = ["option1", "option2", "option3"]
    first = (("value1", "First Option"), ("value2", "Second Option"), ("value3", "Third Option"))
    choices = (("value1", "First Choice"), ("value2", "Second Choice"), ("value3", "Third Choice"))
    fields = {
        "untitledSingle": {"type": "string", "enum": options},
        "titledSingle": {"type": "string", **_titled("oneOf", *first)},
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": options}},
        "titledMulti": {"type": "array", "items": _titled("anyOf", *choices)},
    }
    return await _elicited(ctx, form("Choose", fields), "Elicitation completed")
