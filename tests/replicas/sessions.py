"""Calls of a client, and sessions opened without one, whose ids a test may send to any replica."""

from __future__ import annotations

from typing import Any

from mcp import Client
from mcp.types import TextContent

from .conftest import Fleet


async def text(client: Client, name: str, /, **arguments: Any) -> str:
    result = await client.call_tool(name, arguments)
    assert not result.is_error, result
    return "\n".join(content.text for content in result.content if isinstance(content, TextContent))


def head(session: str = "") -> dict[str, str]:
    named = {"mcp-session-id": session} if session else {}
    return {"accept": "application/json, text/event-stream", **named}


def open_session(fleet: Fleet, url: str) -> str:
    who = {"name": "test", "version": "1"}
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": who}
    body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}
    answer = fleet.http.post(f"{url}/everything/mcp", json=body, headers=head())
    assert answer.status_code == 200
    return answer.headers["mcp-session-id"]


def ping(fleet: Fleet, url: str, session: str) -> int:
    body = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
    return fleet.http.post(f"{url}/everything/mcp", json=body, headers=head(session)).status_code


def resume(fleet: Fleet, url: str, session: str) -> int:
    """As a client whose stream has broken, which asks for what it has missed."""
    headers = {**head(session), "last-event-id": "1-1"}
    with fleet.http.stream("GET", f"{url}/everything/mcp", headers=headers) as answer:
        return answer.status_code
