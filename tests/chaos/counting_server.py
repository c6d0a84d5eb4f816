"""An MCP server over stdio that writes down every call that it executes: `python counting_server.py FILE`."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

TOOL = {"name": "count", "description": "Write `call` down.", "inputSchema": {"type": "object"}}


def answer(message: dict[str, Any], file: int) -> dict[str, Any]:
    match message["method"]:
        case "initialize":
            return {
                "protocolVersion": message["params"]["protocolVersion"],
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "counting", "version": "1"},
            }
        case "tools/list":
            return {"tools": [TOOL]}
        case "tools/call":
            call = message["params"]["arguments"]["message"]
            os.write(file, f"{call}\n".encode())
            return {"content": [{"type": "text", "text": call}]}
    return {}


def main() -> None:
    file = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for line in sys.stdin:
        message = json.loads(line)
        if "id" in message and "method" in message:
            said = {"jsonrpc": "2.0", "id": message["id"], "result": answer(message, file)}
            sys.stdout.write(json.dumps(said) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
