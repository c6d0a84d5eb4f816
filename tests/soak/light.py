"""A stdio server that starts in a few milliseconds: `python -S -E light.py`, standard library only."""

from __future__ import annotations

import json
import os
import sys
from typing import Any


def send(**message: Any) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def tool(id_: Any, name: str) -> None:
    if name == "pid":
        send(id=id_, result={"content": [{"type": "text", "text": str(os.getpid())}]})
    elif name == "chatter":
        send(method="notifications/message", params={"level": "info", "data": "x" * 1000})
    elif name == "ask":
        send(id="question", method="sampling/createMessage", params={"messages": [], "maxTokens": 1})
    elif name == "break off":
        sys.stdout.write('{"jsonrpc": "2.0", "id": ')
        sys.stdout.flush()
        os._exit(3)
    # "hang" and every other: no answer, ever


for line in sys.stdin:
    request = json.loads(line)
    if request.get("method") == "initialize":
        version = request["params"]["protocolVersion"]
        info = {"name": "light", "version": "1"}
        send(
            id=request["id"],
            result={"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info},
        )
    elif request.get("method") == "tools/list":
        names = ("pid", "chatter", "ask", "break off", "hang")
        send(
            id=request["id"],
            result={"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in names]},
        )
    elif request.get("method") == "tools/call":
        tool(request["id"], request["params"]["name"])
    elif "method" in request and "id" in request:
        send(id=request["id"], error={"code": -32601, "message": "method not found"})
