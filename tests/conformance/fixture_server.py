"""A stdio server with everything that the official conformance suite asks of a server.

Names and texts are the suite's own (`conformance server --scenario NAME`). In the stateless
era a question to the client is an InputRequiredResult; in a handshake session the same
question is a request to the client, so that every tool works in both.
"""

from __future__ import annotations

import base64
import json
import struct
import zlib
from typing import Any

import anyio
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.prompts.base import Message, UserMessage
from mcp.shared.exceptions import MCPError
from mcp_types import (
    AudioContent,
    CallToolResult,
    Completion,
    CreateMessageRequest,
    CreateMessageRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    EmbeddedResource,
    EmptyResult,
    ImageContent,
    InputRequiredResult,
    ListRootsRequest,
    SamplingMessage,
    SetLevelRequestParams,
    SubscribeRequestParams,
    TextContent,
    TextResourceContents,
    UnsubscribeRequestParams,
)

MODERN = "2026-07-28"
LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")


def _png() -> str:
    """One red pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checked = kind + data
        return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"\x00\xff\x00\x00"))
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + header + pixels + chunk(b"IEND", b"")).decode()


def _wav() -> str:
    """One silent sample."""
    form = struct.pack("<HHIIHH", 1, 1, 8000, 8000, 1, 8)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", 1) + b"\x80"
    return base64.b64encode(b"RIFF" + struct.pack("<I", len(body)) + body).decode()


IMAGE = ImageContent(type="image", data=_png(), mime_type="image/png")
AUDIO = AudioContent(type="audio", data=_wav(), mime_type="audio/wav")

server = MCPServer("conformance-fixture", version="1.0.0")
_level = {"now": "debug"}


def _text(text: str) -> TextContent:
    return TextContent(type="text", text=text)


# Asking the client


def form(message: str, properties: dict[str, Any], required: list[str] | None = None) -> ElicitRequest:
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    if required:
        schema["required"] = required
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def sample(prompt: str, tokens: int) -> CreateMessageRequest:
    message = SamplingMessage(role="user", content=_text(prompt))
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


def _said(answer: Any) -> str:
    content = answer.content
    return content.text if isinstance(content, TextContent) else str(content)


def _field(answer: Any, name: str) -> str:
    return str((answer.content or {}).get(name, ""))


# Tools: content


@server.tool(structured_output=False)
def test_simple_text() -> str:
    """Returns a simple text."""
    return "This is a simple text response for testing."


@server.tool(structured_output=False)
def test_image_content() -> ImageContent:
    """Returns an image."""
    return IMAGE


@server.tool(structured_output=False)
def test_audio_content() -> AudioContent:
    """Returns audio."""
    return AUDIO


def _embedded(uri: str, mime_type: str, text: str) -> EmbeddedResource:
    contents = TextResourceContents(uri=uri, mime_type=mime_type, text=text)
    return EmbeddedResource(type="resource", resource=contents)


@server.tool(structured_output=False)
def test_embedded_resource() -> EmbeddedResource:
    """Returns an embedded resource."""
    return _embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")


@server.tool(structured_output=False)
def test_multiple_content_types() -> list[TextContent | ImageContent | EmbeddedResource]:
    """Returns text, an image and a resource."""
    data = json.dumps({"test": "data", "value": 123}, separators=(",", ":"))
    resource = _embedded("test://mixed-content-resource", "application/json", data)
    return [_text("Multiple content types test:"), IMAGE, resource]


@server.tool(structured_output=False)
def test_error_handling() -> CallToolResult:
    """Always fails."""
    text = "This tool intentionally returns an error for testing"
    return CallToolResult(content=[_text(text)], is_error=True)


@server.tool(structured_output=False)
def json_schema_2020_12_tool(name: str = "", contactMethod: str = "") -> str:  # noqa: N803
    """Tool with JSON Schema 2020-12 features"""
    return f"{name} {contactMethod}"


_SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}


# Tools: what a server says while it works


async def _log(ctx: Context, text: str) -> None:
    if LEVELS.index("info") >= LEVELS.index(_level["now"]):
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


# Tools: what a server asks of the client


def _require(ctx: Context, capability: str) -> None:
    declared = ctx.client_capabilities
    if declared is None or getattr(declared, capability) is None:
        data: dict[str, object] = {"requiredCapabilities": {capability: {}}}
        raise MCPError(-32021, f"the client must declare {capability}", data)


@server.tool(structured_output=False)
async def test_sampling(ctx: Context, prompt: str) -> str | InputRequiredResult:
    """Asks the client's model."""
    _require(ctx, "sampling")
    answers = await ask(ctx, {"sample": sample(prompt, 100)})
    if isinstance(answers, InputRequiredResult):
        return answers
    return f"LLM response: {_said(answers['sample'])}"


@server.tool(structured_output=False)
async def test_missing_capability(ctx: Context) -> str:
    """Needs sampling."""
    _require(ctx, "sampling")
    return "the client has sampling"


async def _elicited(ctx: Context, question: ElicitRequest, said: str) -> str | InputRequiredResult:
    _require(ctx, "elicitation")
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


# Tools: multi-round-trip requests

NAME = form("What is your name?", {"name": {"type": "string"}}, ["name"])


@server.tool(structured_output=False)
async def test_input_required_result_elicitation(ctx: Context) -> str | InputRequiredResult:
    """Asks the user's name."""
    answers = await ask(ctx, {"user_name": NAME})
    if isinstance(answers, InputRequiredResult):
        return answers
    return f"Hello, {_field(answers['user_name'], 'name')}!"


@server.tool(structured_output=False)
async def test_input_required_result_sampling(ctx: Context) -> str | InputRequiredResult:
    """Asks the client's model."""
    answers = await ask(ctx, {"capital_question": sample("What is the capital of France?", 100)})
    if isinstance(answers, InputRequiredResult):
        return answers
    return _said(answers["capital_question"])


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
        raise MCPError(-32602, "requestState is missing or not the one that was sent")
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
    return f"{_said(answers['greeting'])}, {_field(answers['user_name'], 'name')}; {roots} roots"


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
        name = _field(answers["step1"], "name")
    answers = await ask(ctx, dict(second), json.dumps({"name": name}))
    if isinstance(answers, InputRequiredResult):
        return answers
    return f"{name} likes {_field(answers['step2'], 'color')}"


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


# Resources


@server.resource("test://static-text", name="static-text", mime_type="text/plain")
def static_text() -> str:
    """A static text."""
    return "This is the content of the static text resource."


@server.resource("test://static-binary", name="static-binary", mime_type="image/png")
def static_binary() -> bytes:
    """A static image."""
    return base64.b64decode(_png())


@server.resource("test://watched-resource", name="watched-resource", mime_type="text/plain")
def watched() -> str:
    """A resource to subscribe to."""
    return "watched"


@server.resource("test://template/{id}/data", name="template", mime_type="application/json")
def template(id: str) -> str:  # noqa: A002
    """Data for an id."""
    data = {"id": id, "templateTest": True, "data": f"Data for ID: {id}"}
    return json.dumps(data, separators=(",", ":"))


# Prompts


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
    resource = _embedded(resourceUri, "text/plain", "Embedded resource content for testing.")
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
    return [UserMessage(f"Context: {_field(answers['user_context'], 'context')}")]


# Completion, logging, subscriptions


@server.completion()  # type: ignore[no-untyped-call,untyped-decorator]  # untyped in the SDK
async def complete(ref: Any, argument: Any, context: Any) -> Completion:
    values = [value for value in ("paris", "park", "party") if value.startswith(argument.value)]
    return Completion(values=values, total=len(values), has_more=False)


async def set_level(ctx: Any, params: SetLevelRequestParams) -> EmptyResult:
    _level["now"] = params.level
    return EmptyResult()


async def subscribe(ctx: Any, params: SubscribeRequestParams) -> EmptyResult:
    return EmptyResult()


async def unsubscribe(ctx: Any, params: UnsubscribeRequestParams) -> EmptyResult:
    return EmptyResult()


async def main() -> None:
    tool = server._tool_manager.get_tool("json_schema_2020_12_tool")
    assert tool is not None
    tool.parameters = _SCHEMA
    lowlevel = server._lowlevel_server
    lowlevel.add_request_handler("logging/setLevel", SetLevelRequestParams, set_level)
    lowlevel.add_request_handler("resources/subscribe", SubscribeRequestParams, subscribe)
    lowlevel.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, unsubscribe)
    await server.run_stdio_async()


if __name__ == "__main__":
    anyio.run(main)
