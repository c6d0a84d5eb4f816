"""A stdio server that speaks 2026-07-28 and nothing else. No SDK: it writes what stands here."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

JSON = dict[str, Any]
PREFIX = "io.modelcontextprotocol/"
INFO = {"name": "modern-only", "version": "1.0.0"}

running: dict[str, asyncio.Task[None]] = {}
listening: dict[str, JSON] = {}
seen: list[JSON] = []


class AnswerError(Exception):
    def __init__(self, code: int, message: str, data: object = None) -> None:
        super().__init__(message)
        self.error = {"code": code, "message": message} | ({} if data is None else {"data": data})


def write(message: JSON) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def notify(method: str, **params: object) -> None:
    write({"method": method, "params": params})


def tell(method: str, wanted: str, **params: object) -> None:
    """A notification for every listener that asked for it."""
    for id_, filter_ in listening.items():
        if filter_.get(wanted):
            tagged = {"_meta": {f"{PREFIX}subscriptionId": json.loads(id_)}, **params}
            write({"method": method, "params": tagged})


def text(value: str) -> JSON:
    return {"content": [{"type": "text", "text": value}]}


def input_required(state: str, **requests: JSON) -> JSON:
    return {"resultType": "input_required", "inputRequests": requests, "requestState": state}


def elicitation(message: str) -> JSON:
    schema = {"type": "object", "properties": {"name": {"type": "string"}}}
    return {"method": "elicitation/create", "params": {"message": message, "requestedSchema": schema}}


async def tool(id_: object, params: JSON) -> JSON:
    name, arguments, meta = params["name"], params.get("arguments", {}), params["_meta"]
    answers, state = params.get("inputResponses", {}), params.get("requestState")
    if name == "echo":
        return {**text(arguments["text"]), "x-odd": [1]}
    if name == "params":
        return text(json.dumps(params))
    if name == "greet":
        if state is None:
            return input_required("first", user=elicitation("Who are you?"))
        if state == "first":
            user = answers["user"].get("content", {}).get("name", answers["user"]["action"])
            messages = [{"role": "user", "content": {"type": "text", "text": user}}]
            sampling = {"method": "sampling/createMessage", "params": {"messages": messages, "maxTokens": 9}}
            return input_required(user, greeting=sampling, where={"method": "roots/list", "params": {}})
        return text(f"{answers['greeting']['content']['text']}, {state}, {len(answers['where']['roots'])}")
    if name == "needs_sampling" and "sampling" not in meta[f"{PREFIX}clientCapabilities"]:
        raise AnswerError(-32021, "sampling needed", {"requiredCapabilities": {"sampling": {}}})
    if name == "progress":
        for step in (1, 2):
            notify("notifications/progress", progressToken=meta["progressToken"], progress=step)
        return text("progressed")
    if name == "log":
        if f"{PREFIX}logLevel" in meta:
            for level in ("debug", "error"):
                notify("notifications/message", level=level, data=level)
        return text("logged")
    if name == "change":
        tell("notifications/tools/list_changed", "toolsListChanged")
        tell("notifications/resources/updated", "resourceSubscriptions", uri="test://one")
        return text(str(len(listening)))
    if name == "drop":
        for key in listening:
            notify("notifications/cancelled", requestId=json.loads(key), reason="enough")
        return text("dropped")
    if name == "hang":
        await asyncio.get_running_loop().create_future()
    if name == "running":
        return text(str(len(running) - 1))
    if name == "exit":
        sys.exit(3)
    raise AnswerError(-32602, f"no tool {name}")


async def handle(id_: object, method: str, params: JSON) -> JSON | None:
    meta = params.get("_meta", {})
    missing = [key for key in ("protocolVersion", "clientCapabilities") if PREFIX + key not in meta]
    if method == "initialize":
        supported = {"supported": ["2026-07-28"], "requested": params.get("protocolVersion")}
        raise AnswerError(-32022, "only 2026-07-28 is spoken here", supported)
    if missing:
        raise AnswerError(-32602, f"missing {missing}")
    cached = {"ttlMs": 1000, "cacheScope": "public"}
    if method == "server/discover":
        capabilities = {
            "tools": {"listChanged": True},
            "resources": {"subscribe": True},
            "x-unknown": {"kept": 1},
        }
        return {"supportedVersions": ["2026-07-28", "2027-01-01"], "capabilities": capabilities, **cached}
    if method == "tools/list":
        schema = {"type": "object", "properties": {"text": {"type": "string", "x-mcp-header": "Text"}}}
        plain = {"type": "object"}
        names = ("params", "greet", "progress", "log", "change", "hang", "running")
        tools = [{"name": name, "inputSchema": plain} for name in names]
        return {"tools": [{"name": "echo", "inputSchema": schema}, *tools], **cached}
    if method == "tools/call":
        return await tool(id_, params)
    if method == "subscriptions/listen":
        key = json.dumps(id_)
        listening[key] = params["notifications"]
        tag = {f"{PREFIX}subscriptionId": id_}
        acknowledged = {"_meta": tag, "notifications": params["notifications"]}
        notify("notifications/subscriptions/acknowledged", **acknowledged)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            del listening[key]
    raise AnswerError(-32601, f"no method {method}")


async def serve(id_: object, method: str, params: JSON) -> None:
    try:
        result = await handle(id_, method, params)
        meta = {f"{PREFIX}serverInfo": INFO}
        write({"id": id_, "result": {"resultType": "complete", "_meta": meta, **(result or {})}})
    except AnswerError as failure:
        write({"id": id_, "error": failure.error})
    finally:
        running.pop(json.dumps(id_), None)


async def main() -> None:
    reader = asyncio.StreamReader(limit=64 * 1024 * 1024)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        message = json.loads(line)
        id_, method = message.get("id"), message["method"]
        if id_ is not None:
            running[json.dumps(id_)] = loop.create_task(serve(id_, method, message.get("params") or {}))
        elif method == "notifications/cancelled":
            task = running.pop(json.dumps(message["params"]["requestId"]), None)
            if task is not None:
                task.cancel()


if __name__ == "__main__":
    asyncio.run(main())
