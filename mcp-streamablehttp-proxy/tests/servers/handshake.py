"""The conformance suite's fixtures as a stdio server that only knows the handshake era.

No SDK: what it writes is exactly what stands here. A question to the client carries as id the name
that the suite knows it by; asking it again withdraws the older one.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

JSON = dict[str, Any]

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
WAV = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="
VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26")
EXPECTED_RESOURCES = {
    "test://static-text": {
        "mimeType": "text/plain",
        "text": "This is the content of the static text resource.",
    },
    "test://static-binary": {"mimeType": "image/png", "blob": PNG},
    "test://watched-resource": {"mimeType": "text/plain", "text": "Watched resource content"},
}

waiting: dict[str, asyncio.Future[JSON]] = {}
tasks: dict[str, asyncio.Task[None]] = {}


class AnswerError(Exception):
    def __init__(self, code: int, message: str, data: object = None) -> None:
        super().__init__(message)
        self.error = {"code": code, "message": message} | ({} if data is None else {"data": data})


def write(message: JSON) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def notify(method: str, **params: object) -> None:
    write({"method": method, "params": params})


def text(value: str) -> JSON:
    return {"content": [{"type": "text", "text": value}]}


def embedded(uri: str, mime: str, value: str) -> JSON:
    return {"type": "resource", "resource": {"uri": uri, "mimeType": mime, "text": value}}


# questions to the client


async def ask(name: str, method: str, params: JSON | None = None) -> JSON:
    if name in waiting:
        notify("notifications/cancelled", requestId=name)
        waiting[name].set_result({"error": {"message": "asked again elsewhere"}})
    mine = waiting[name] = asyncio.get_running_loop().create_future()
    try:
        write({"id": name, "method": method, "params": params or {}})
        answer = await mine
    finally:
        if waiting.get(name) is mine:
            del waiting[name]
    if "error" in answer:
        raise AnswerError(-32603, answer["error"]["message"])
    result: JSON = answer["result"]
    return result


async def elicit(name: str, message: str, field: str, type_: str = "string") -> Any:
    schema = {"type": "object", "properties": {field: {"type": type_}}, "required": [field]}
    result = await ask(name, "elicitation/create", {"message": message, "requestedSchema": schema})
    return (result.get("content") or {}).get(field)


async def sample(name: str, prompt: str) -> Any:
    messages = [{"role": "user", "content": {"type": "text", "text": prompt}}]
    result = await ask(name, "sampling/createMessage", {"messages": messages, "maxTokens": 100})
    return result["content"]["text"]


async def roots(name: str) -> list[Any]:
    return list((await ask(name, "roots/list"))["roots"])


# tools

Tool = Callable[[JSON, JSON], Awaitable[JSON]]
TOOLS: dict[str, tuple[Tool, JSON]] = {}


def tool(**properties: JSON) -> Callable[[Tool], Tool]:
    def add(function: Tool) -> Tool:
        TOOLS[f"test_{function.__name__}"] = (function, {"type": "object", "properties": properties})
        return function

    return add


@tool()
async def simple_text(*_: JSON) -> JSON:
    return text("This is a simple text response for testing.")


@tool()
async def image_content(*_: JSON) -> JSON:
    return {"content": [{"type": "image", "data": PNG, "mimeType": "image/png"}]}


@tool()
async def audio_content(*_: JSON) -> JSON:
    return {"content": [{"type": "audio", "data": WAV, "mimeType": "audio/wav"}]}


@tool()
async def embedded_resource(*_: JSON) -> JSON:
    uri = "test://embedded-resource"
    return {"content": [embedded(uri, "text/plain", "This is an embedded resource content.")]}


@tool()
async def multiple_content_types(*_: JSON) -> JSON:
    resource = embedded("test://mixed-content-resource", "application/json", '{"test":"data","value":123}')
    image = {"type": "image", "data": PNG, "mimeType": "image/png"}
    return {"content": [{"type": "text", "text": "Multiple content types test:"}, image, resource]}


@tool()
async def error_handling(*_: JSON) -> JSON:
    return {**text("This tool intentionally returns an error for testing"), "isError": True}


@tool()
async def tool_with_progress(_: JSON, meta: JSON) -> JSON:
    for step in (0, 50, 100):
        if "progressToken" in meta:
            notify("notifications/progress", progressToken=meta["progressToken"], progress=step, total=100)
    return text("done")


@tool()
async def logging_tool(*_: JSON) -> JSON:
    for level in ("debug", "info", "error"):
        notify("notifications/message", level=level, data=f"{level} message")
    return text("logged")


TOOLS["test_tool_with_logging"] = TOOLS["test_logging_tool"]


@tool(region={"type": "string", "x-mcp-header": "Region"}, size={"type": "integer", "x-mcp-header": "Size"})
async def x_mcp_header(arguments: JSON, _: JSON) -> JSON:
    return text(f"region={arguments.get('region', '<none>')}")


@tool()
async def missing_capability(*_: JSON) -> JSON:
    return text(await sample("missing", "Are you there?"))


@tool()
async def trigger_tool_change(*_: JSON) -> JSON:
    notify("notifications/tools/list_changed")
    return text("tool list changed")


@tool()
async def trigger_prompt_change(*_: JSON) -> JSON:
    notify("notifications/prompts/list_changed")
    return text("prompt list changed")


@tool()
async def trigger_resource_update(*_: JSON) -> JSON:
    for uri in sorted(subscribed):
        notify("notifications/resources/updated", uri=uri)
    return text(f"updated {len(subscribed)}")


@tool()
async def hang(*_: JSON) -> JSON:
    await asyncio.get_running_loop().create_future()
    return {}


@tool()
async def running(*_: JSON) -> JSON:
    return text(str(len(tasks) - 1))


@tool()
async def url_elicitation(*_: JSON) -> JSON:
    global visited
    if not visited:
        visited = True
        one = {"mode": "url", "elicitationId": "1", "url": "https://example.com/", "message": "Sign in"}
        raise AnswerError(-32042, "URL elicitation required", {"elicitations": [one]})
    return text(f"{await elicit('elicitation-1', 'Who signed in?', 'name')} signed in")


@tool()
async def error_code(arguments: JSON, _: JSON) -> JSON:
    raise AnswerError(arguments["code"], "as asked", {"kept": True})


@tool()
async def input_required_result_elicitation(*_: JSON) -> JSON:
    return text(f"Hello, {await elicit('user_name', 'What is your name?', 'name')}!")


@tool()
async def streaming_elicitation(*_: JSON) -> JSON:
    return text(str(await elicit("streamed", "What is your name?", "name")))


@tool()
async def input_required_result_sampling(*_: JSON) -> JSON:
    return text(f"Model said: {await sample('capital_question', 'What is the capital of France?')}")


@tool()
async def input_required_result_list_roots(*_: JSON) -> JSON:
    return text(f"Client exposed {len(await roots('client_roots'))} root(s).")


@tool()
async def input_required_result_request_state(*_: JSON) -> JSON:
    await elicit("confirm", "Please confirm", "ok", "boolean")
    return text("state-ok: confirmation received")


@tool()
async def input_required_result_tampered_state(*_: JSON) -> JSON:
    await elicit("confirm", "Please confirm", "ok", "boolean")
    return text("state-ok")


@tool()
async def input_required_result_multiple_inputs(*_: JSON) -> JSON:
    name = elicit("user_name", "What is your name?", "name")
    await asyncio.gather(name, sample("greeting", "Generate a greeting"), roots("client_roots"))
    return text("All inputs received.")


@tool()
async def input_required_result_multi_round(*_: JSON) -> JSON:
    name = await elicit("step1", "Step 1: What is your name?", "name")
    colour = await elicit("step2", "Step 2: What is your favorite color?", "color")
    return text(f"{name} likes {colour}.")


@tool()
async def input_required_result_capabilities(*_: JSON) -> JSON:
    name = elicit("ask", "What is your name?", "name")
    answers = await asyncio.gather(name, sample("sample", "Say hello"), return_exceptions=True)
    return text(", ".join(str(answer) for answer in answers))


@tool()
async def json_schema_2020_12(*_: JSON) -> JSON:
    return text("valid")


JSON_SCHEMA = TOOLS.pop("test_json_schema_2020_12")
TOOLS["json_schema_2020_12_tool"] = JSON_SCHEMA
JSON_SCHEMA[1].update(
    {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
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
)


# prompts


def said(*contents: JSON) -> JSON:
    return {"messages": [{"role": "user", "content": content} for content in contents]}


async def prompt(name: str, arguments: JSON) -> JSON:
    if name == "test_simple_prompt":
        return said({"type": "text", "text": "This is a simple prompt for testing."})
    if name == "test_prompt_with_arguments":
        both = f"arg1='{arguments.get('arg1')}', arg2='{arguments.get('arg2')}'"
        return said({"type": "text", "text": f"Prompt with arguments: {both}"})
    if name == "test_prompt_with_embedded_resource":
        resource = embedded(arguments["resourceUri"], "text/plain", "Embedded resource content for testing.")
        return said(resource, {"type": "text", "text": "Please process the embedded resource above."})
    if name == "test_prompt_with_image":
        image = {"type": "image", "data": PNG, "mimeType": "image/png"}
        return said(image, {"type": "text", "text": "Please analyze the image above."})
    if name == "test_input_required_result_prompt":
        context = await elicit("user_context", "What context should the prompt use?", "context")
        return said({"type": "text", "text": f"Use the following context: {context}"})
    raise AnswerError(-32602, f"no prompt {name}")


PROMPTS = [
    {"name": "test_simple_prompt", "description": "A simple prompt"},
    {
        "name": "test_prompt_with_arguments",
        "description": "A prompt with arguments",
        "arguments": [{"name": name, "description": name, "required": True} for name in ("arg1", "arg2")],
    },
    {
        "name": "test_prompt_with_embedded_resource",
        "description": "A prompt with a resource",
        "arguments": [{"name": "resourceUri", "description": "URI", "required": True}],
    },
    {"name": "test_prompt_with_image", "description": "A prompt with an image"},
    {"name": "test_input_required_result_prompt", "description": "A prompt that asks"},
]

# dispatch

subscribed: set[str] = set()
visited = False


def resource(uri: str) -> JSON:
    if uri in EXPECTED_RESOURCES:
        return {"contents": [{"uri": uri, **EXPECTED_RESOURCES[uri]}]}
    if uri.startswith("test://template/") and uri.endswith("/data"):
        id_ = uri.split("/")[3]
        body = json.dumps({"id": id_, "templateTest": True, "data": f"Data for ID: {id_}"})
        return {"contents": [{"uri": uri, "mimeType": "application/json", "text": body}]}
    raise AnswerError(-32002, "Resource not found", {"uri": uri})


async def handle(method: str, params: JSON) -> JSON:
    if any(key.startswith("io.modelcontextprotocol/") for key in params.get("_meta", {})):
        raise AnswerError(-32600, "what is this envelope?")
    if method == "initialize":
        wanted = params["protocolVersion"]
        return {
            "protocolVersion": wanted if wanted in VERSIONS else VERSIONS[0],
            "capabilities": {
                "tools": {"listChanged": True},
                "prompts": {"listChanged": True},
                "resources": {"subscribe": True, "listChanged": True},
                "logging": {},
                "completions": {},
                "x-unknown": {"kept": 1},
            },
            "serverInfo": {"name": "handshake-only", "version": "1.0.0"},
            "instructions": "Ask anything.",
        }
    if method in ("ping", "logging/setLevel"):
        return {}
    if method == "tools/list":
        tools = [
            {"name": name, "description": name.replace("_", " "), "inputSchema": schema, "x-odd": [1]}
            for name, (_, schema) in TOOLS.items()
        ]
        return {"tools": tools}
    if method == "tools/call":
        if params["name"] not in TOOLS:
            raise AnswerError(-32602, f"no tool {params['name']}")
        function, _ = TOOLS[params["name"]]
        return await function(params.get("arguments") or {}, params.get("_meta") or {})
    if method == "resources/list":
        return {"resources": [{"uri": uri, "name": uri.rpartition("/")[2]} for uri in EXPECTED_RESOURCES]}
    if method == "resources/templates/list":
        return {"resourceTemplates": [{"uriTemplate": "test://template/{id}/data", "name": "template"}]}
    if method == "resources/read":
        return resource(params["uri"])
    if method == "resources/subscribe":
        if params["uri"] not in EXPECTED_RESOURCES:
            raise AnswerError(-32002, "Resource not found")
        subscribed.add(params["uri"])
        return {}
    if method == "resources/unsubscribe":
        subscribed.discard(params["uri"])
        return {}
    if method == "prompts/list":
        return {"prompts": PROMPTS}
    if method == "prompts/get":
        return await prompt(params["name"], params.get("arguments") or {})
    if method == "completion/complete":
        return {"completion": {"values": [], "total": 0, "hasMore": False}}
    raise AnswerError(-32601, f"no method {method}")


async def serve(id_: object, method: str, params: JSON) -> None:
    try:
        write({"id": id_, "result": await handle(method, params)})
    except AnswerError as failure:
        write({"id": id_, "error": failure.error})
    finally:
        tasks.pop(json.dumps(id_), None)


async def main() -> None:
    reader = asyncio.StreamReader(limit=64 * 1024 * 1024)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        message = json.loads(line)
        id_, method = message.get("id"), message.get("method")
        if method is None:
            if (future := waiting.get(id_)) is not None and not future.done():
                future.set_result(message)
        elif id_ is not None:
            tasks[json.dumps(id_)] = loop.create_task(serve(id_, method, message.get("params") or {}))
        elif method == "notifications/cancelled":
            task = tasks.pop(json.dumps(message["params"]["requestId"]), None)
            if task is not None:
                task.cancel()


if __name__ == "__main__":
    asyncio.run(main())
