"""The smallest server that the SDK's own documentation makes: `smallest.py PORT`."""

from __future__ import annotations

import sys

from mcp.server.mcpserver import MCPServer

server = MCPServer("smallest")


@server.tool()
def echo(text: str) -> str:
    return text


server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]), stateless_http=True)
