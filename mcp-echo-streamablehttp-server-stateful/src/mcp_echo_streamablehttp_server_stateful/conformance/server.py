"""The server that the suite's tools, prompts and resources are added to."""

from __future__ import annotations

from mcp.server.mcpserver import MCPServer

server = MCPServer("conformance-fixture", version="1.0.0")
