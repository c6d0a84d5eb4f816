"""A server on the official SDK over HTTP: `sdk_http.py events|json|stateless|sse` prints its port."""

from __future__ import annotations

import socket
import sys

import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from pydantic import BaseModel

server = MCPServer("elsewhere")


class Name(BaseModel):
    name: str


@server.tool()
def add(a: int, b: int) -> int:
    return a + b


@server.tool()
async def greet(ctx: Context) -> str:
    answer = await ctx.elicit("Who is there?", Name)
    return f"hello {answer.data.name}" if answer.action == "accept" else answer.action


@server.tool()
async def count(ctx: Context) -> str:
    await ctx.report_progress(1, 2)
    return "counted"


if __name__ == "__main__":
    kind = sys.argv[1]
    if kind == "sse":
        app = server.sse_app(sse_path="/mcp")
    else:
        app = server.streamable_http_app(stateless_http=kind == "stateless", json_response=kind == "json")
    listening = socket.create_server(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="critical")).run([listening])
