"""A stdio MCP server that costs next to nothing: the standard library only, run as `python -S -E echo.py`."""

from __future__ import annotations

import json
import sys
from typing import Any

TOOL = {"name": "echo", "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}}}
RESULTS: dict[str, object] = {
    "initialize": {
        "protocolVersion": "2025-06-18",
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "echo", "version": "1"},
    },
    "ping": {},
    "tools/list": {"tools": [TOOL]},
}


def answer(message: dict[str, Any]) -> dict[str, object]:
    if message["method"] == "tools/call":
        text = message["params"]["arguments"].get("text", "")
        return {"result": {"content": [{"type": "text", "text": text}]}}
    if message["method"] in RESULTS:
        return {"result": RESULTS[message["method"]]}
    return {"error": {"code": -32601, "message": "Method not found"}}


for line in sys.stdin.buffer:
    request = json.loads(line)
    if "id" in request and "method" in request:
        reply = {"jsonrpc": "2.0", "id": request["id"], **answer(request)}
        sys.stdout.buffer.write(json.dumps(reply).encode() + b"\n")
        sys.stdout.buffer.flush()
