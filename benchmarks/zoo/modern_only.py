"""A server that speaks 2026-07-28 and nothing older: the SDK's, with its handshake refused.

The refusal is the one the specification asks of such a server (basic/versioning): an error to
`initialize` that names the versions there are, 405 to GET and DELETE.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn
from mcp.server import MCPServer

MODERN = "2026-07-28"
Asgi = Callable[[Any, Any, Any], Awaitable[None]]


class ModernOnly:
    def __init__(self, app: Asgi) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or (b"mcp-protocol-version", MODERN.encode()) in scope["headers"]:
            await self.app(scope, receive, send)
            return
        status, body = 405, b""
        if scope["method"] == "POST":
            status = 400
            error = {
                "code": -32022,
                "message": "Unsupported protocol version",
                "data": {"supported": [MODERN], "requested": None},
            }
            body = json.dumps({"jsonrpc": "2.0", "id": None, "error": error}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send(
            {"type": "http.response.start", "status": status, "headers": [*headers, (b"allow", b"POST")]}
        )
        await send({"type": "http.response.body", "body": body})


def main() -> None:
    server = MCPServer("modern-only")

    @server.tool()
    def greet(name: str) -> str:
        return f"Hello, {name}!"

    uvicorn.run(ModernOnly(server.streamable_http_app()), port=int(sys.argv[1]), log_level="warning")


main()
