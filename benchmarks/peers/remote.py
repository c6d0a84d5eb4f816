"""The MCP server behind the bridges: answers everything at once, in JSON, without a session."""

from __future__ import annotations

import json
from typing import Any

INTRODUCTION = {
    "protocolVersion": "2025-06-18",
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "remote", "version": "1"},
}
TOOLS = {"tools": [{"name": "echo", "inputSchema": {"type": "object"}}]}


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    message, body = {"more_body": True}, b""
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    answer = _answer(json.loads(body)) if scope["method"] == "POST" else b""
    status = 405 if scope["method"] != "POST" else 200 if answer else 202
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


def _answer(message: dict[str, Any]) -> bytes:
    if "id" not in message:
        return b""
    found: dict[str, Any] = {"jsonrpc": "2.0", "id": message["id"]}
    if message["method"] == "initialize":
        found["result"] = INTRODUCTION
    elif message["method"] == "tools/list":
        found["result"] = TOOLS
    elif message["method"] == "tools/call":
        found["result"] = {"content": [{"type": "text", "text": message["params"]["arguments"]["text"]}]}
    elif message["method"] == "ping":
        found["result"] = {}
    else:
        found["error"] = {"code": -32601, "message": "Method not found"}
    return json.dumps(found).encode()
