"""A handshake-only stdio server that lists its tools in pages of two, and more of them once one is called.

It answers nothing before its client has said `initialized`, as SDK servers do.
"""

from __future__ import annotations

import json
import sys

TOOLS = [
    {"name": "look", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": True}},
    {"name": "write", "description": "Writes.", "inputSchema": {"type": "object"}},
    {"name": "sign_in", "inputSchema": {"type": "object"}},
]
ready = False

for line in sys.stdin:
    message = json.loads(line)
    params = message.get("params", {})
    if message["method"] == "notifications/initialized":
        ready = True
    if "id" not in message:
        continue
    answer: dict[str, object] = {"error": {"code": -32602, "message": "not now"}}
    if message["method"] == "initialize":
        info = {"name": "paged", "version": "1"}
        version = params["protocolVersion"]
        answer = {"result": {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info}}
    elif ready and message["method"] == "tools/list":
        start = int(params.get("cursor", "0"))
        more = {"nextCursor": str(start + 2)} if start + 2 < len(TOOLS) else {}
        answer = {"result": {"tools": TOOLS[start : start + 2], **more}}
    elif ready and message["method"] == "tools/call":
        TOOLS.append({"name": "secret_of_who_signed_in", "inputSchema": {"type": "object"}})
        answer = {"result": {"content": [{"type": "text", "text": "done"}]}}
    elif message["method"] == "server/discover":
        answer = {"error": {"code": -32601, "message": "unknown"}}
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **answer}), flush=True)
