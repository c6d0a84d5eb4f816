"""Each reference server, unmodified, for clients of either era: the same tools, and they work."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
from mcp.client import Client
from mcp.types import TextContent

from tests.servers.conftest import Connect, Places

Call = Callable[[Client, Any], Awaitable[None]]


async def text(client: Client, name: str, /, **arguments: Any) -> str:
    result = await client.call_tool(name, arguments)
    assert not result.is_error, result
    content = result.content[0]
    assert isinstance(content, TextContent)
    return content.text


async def everything(client: Client, places: Places) -> None:
    assert await text(client, "get-sum", a=40, b=2) == "The sum of 40 and 2 is 42."


async def memory(client: Client, places: Places) -> None:
    entity = {"name": client.protocol_version, "entityType": "version", "observations": ["spoken"]}
    await text(client, "create_entities", entities=[entity])
    graph = json.loads(await text(client, "open_nodes", names=[entity["name"]]))
    assert graph["entities"] == [entity]


async def filesystem(client: Client, places: Places) -> None:
    assert await text(client, "read_text_file", path=str(places.files / "note.txt")) == "kept in a file\n"
    await text(client, "write_file", path=str(places.files / "new.txt"), content="schön")
    assert (places.files / "new.txt").read_text() == "schön"
    outside = await client.call_tool("read_text_file", {"path": "/etc/hostname"})
    assert outside.is_error


async def sequential_thinking(client: Client, places: Places) -> None:
    thought = {"thought": "so it is", "thoughtNumber": 1, "totalThoughts": 1, "nextThoughtNeeded": False}
    assert json.loads(await text(client, "sequentialthinking", **thought))["totalThoughts"] == 1


async def time(client: Client, places: Places) -> None:
    arguments = {"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Kolkata"}
    converted = json.loads(await text(client, "convert_time", **arguments))
    assert converted["time_difference"] == "+5.5h"


async def fetch(client: Client, places: Places) -> None:
    with HTTPServer(("127.0.0.1", 0), Page) as site:
        Thread(target=site.handle_request).start()
        url = f"http://127.0.0.1:{site.server_port}/"
        assert "A heading" in await text(client, "fetch", url=url, raw=True)


async def git(client: Client, places: Places) -> None:
    assert "the first commit" in await text(client, "git_log", repo_path=str(places.repository))


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"<html><body><h1>A heading</h1><p>and a paragraph</p></body></html>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


CALLS: dict[str, Call] = {
    "everything": everything,
    "memory": memory,
    "filesystem": filesystem,
    "sequential-thinking": sequential_thinking,
    "time": time,
    "fetch": fetch,
    "git": git,
}


@pytest.mark.parametrize("name", CALLS)
async def test_a_server_is_the_same_in_every_mode_and_works(
    name: str, mode: str, connect: Connect, itself: Any, able: dict[str, Any], places: Places
) -> None:
    alone = itself(name)
    callbacks = able if name == "everything" else {}
    async with connect(name, **callbacks) as client:
        assert client.protocol_version == ("2025-11-25" if mode == "legacy" else "2026-07-28")
        if mode != "2026-07-28":  # a pinned client asks nobody who is there
            assert client.server_info is not None
            assert client.server_info.name == alone.introduction["serverInfo"]["name"]
            assert client.instructions == alone.introduction.get("instructions")
        listed = (await client.list_tools()).tools
        assert [tool.name for tool in listed] == [tool["name"] for tool in alone.tools]
        for tool, own in zip(listed, alone.tools, strict=True):
            assert tool.input_schema == own["inputSchema"]
            assert tool.output_schema == own.get("outputSchema")
            assert tool.description == own.get("description")
        await CALLS[name](client, places)
