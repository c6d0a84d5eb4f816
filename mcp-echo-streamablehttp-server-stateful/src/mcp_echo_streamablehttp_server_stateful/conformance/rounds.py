"""Tools that ask in rounds: InputRequiredResult with its state, several questions, one after the other."""

from __future__ import annotations

import json

from mcp.server.mcpserver import Context
from mcp.shared.exceptions import MCPError
from mcp_echo_streamablehttp_server_stateless._common.error_codes import INVALID_PARAMS
from mcp_types import InputRequiredResult, ListRootsRequest

from .asking import MODERN, Question, ask, field, form, said, sample
from .server import server

NAME = form("What is your name?", {"name": {"type": "string"}}, ["name"])


@server.tool(structured_output=False)
async def test_input_required_result_elicitation(ctx: Context) -> str | InputRequiredResult:
    """Asks the user's name."""
    answers = await ask(ctx, {"user_name": NAME})
    if isinstance(answers, InputRequiredResult):
        return answers
    return f"Hello, {field(answers['user_name'], 'name')}!"


@server.tool(structured_output=False)
async def test_input_required_result_sampling(ctx: Context) -> str | InputRequiredResult:
    """Asks the client's model."""
    answers = await ask(ctx, {"capital_question": sample("What is the capital of France?", 100)})
    if isinstance(answers, InputRequiredResult):
        return answers
    return said(answers["capital_question"])


@server.tool(structured_output=False)
async def test_input_required_result_list_roots(ctx: Context) -> str | InputRequiredResult:
    """Asks for the client's roots."""
    answers = await ask(ctx, {"client_roots": ListRootsRequest()})
    if isinstance(answers, InputRequiredResult):
        return answers
    return "Roots: " + ", ".join(str(root.uri) for root in answers["client_roots"].roots)


CONFIRM = form("Please confirm", {"ok": {"type": "boolean"}}, ["ok"])


async def _confirmed(ctx: Context) -> str | InputRequiredResult:
    answers = await ask(ctx, {"confirm": CONFIRM}, "confirming")
    if isinstance(answers, InputRequiredResult):
        return answers
    if ctx.protocol_version == MODERN and ctx.request_state != "confirming":
        raise MCPError(INVALID_PARAMS, "requestState is missing or not the one that was sent")
    return "state-ok"


@server.tool(structured_output=False)
async def test_input_required_result_request_state(ctx: Context) -> str | InputRequiredResult:
    """Asks, and checks that its state comes back."""
    return await _confirmed(ctx)


@server.tool(structured_output=False)
async def test_input_required_result_tampered_state(ctx: Context) -> str | InputRequiredResult:
    """Asks, with a state that nobody may change."""
    return await _confirmed(ctx)


@server.tool(structured_output=False)
async def test_input_required_result_multiple_inputs(ctx: Context) -> str | InputRequiredResult:
    """Asks three things at once."""
    questions: dict[str, Question] = {
        "user_name": NAME,
        "greeting": sample("Generate a greeting", 50),
        "client_roots": ListRootsRequest(),
    }
    answers = await ask(ctx, questions, "three things")
    if isinstance(answers, InputRequiredResult):
        return answers
    roots = len(answers["client_roots"].roots)
    return f"{said(answers['greeting'])}, {field(answers['user_name'], 'name')}; {roots} roots"


@server.tool(structured_output=False)
async def test_input_required_result_multi_round(ctx: Context) -> str | InputRequiredResult:
    """Asks twice, one after the other."""
    first = {"step1": form("Step 1: What is your name?", {"name": {"type": "string"}}, ["name"])}
    color = {"color": {"type": "string"}}
    second = {"step2": form("Step 2: What is your favorite color?", color, ["color"])}
    resumed = ctx.request_state if ctx.protocol_version == MODERN else None
    name = json.loads(resumed)["name"] if resumed else None
    if name is None:
        answers = await ask(ctx, dict(first), json.dumps({"name": None}))
        if isinstance(answers, InputRequiredResult):
            return answers
        name = field(answers["step1"], "name")
    answers = await ask(ctx, dict(second), json.dumps({"name": name}))
    if isinstance(answers, InputRequiredResult):
        return answers
    return f"{name} likes {field(answers['step2'], 'color')}"


@server.tool(structured_output=False)
async def test_input_required_result_capabilities(ctx: Context) -> str | InputRequiredResult:
    """Asks only what the client says it can answer."""
    declared = ctx.client_capabilities
    questions: dict[str, Question] = {}
    if declared is not None and declared.elicitation is not None:
        questions["user_name"] = NAME
    if declared is not None and declared.sampling is not None:
        questions["greeting"] = sample("Generate a greeting", 50)
    if not questions:
        return "nothing to ask"
    answers = await ask(ctx, questions)
    if isinstance(answers, InputRequiredResult):
        return answers
    return "answered: " + ", ".join(sorted(answers))
