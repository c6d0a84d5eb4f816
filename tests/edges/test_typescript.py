"""A server that others wrote, unmodified, with its own Streamable HTTP: npm server-everything."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from gateway.node import NODE, installed
from tests.conftest import free_port
from tests.edges.conftest import Edge, running
from tests.messages import INITIALIZE

BOTH = "application/json, text/event-stream"


@pytest.fixture
async def everything() -> AsyncIterator[int]:
    folder, port = installed("@modelcontextprotocol/server-everything", "2026.8.31"), free_port()
    process = await asyncio.create_subprocess_exec(
        str(NODE), str(folder / "dist" / "index.js"), "streamableHttp",
        env={**os.environ, "PORT": str(port)},
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with httpx.AsyncClient() as http, asyncio.timeout(60):
            while not await _answers(http, f"http://127.0.0.1:{port}/mcp"):
                await asyncio.sleep(0.05)
        yield port
    finally:
        process.kill()
        await process.wait()


async def _answers(http: httpx.AsyncClient, url: str) -> bool:
    try:
        return bool(await http.get(url))
    except httpx.TransportError:
        return False


async def ask(edge: Edge, method: str, slash: str, headers: dict[str, str]) -> httpx.Response:
    body = INITIALIZE if method == "POST" else None
    return await edge.ask(method, edge.time + slash, headers=headers, json=body)


async def test_whatever_is_challenged_is_answered_as_the_server_itself_answers(
    everything: int, tmp_path: Path
) -> None:
    """Slash, Origin and Accept: the gate adds no refusal, and hides none. The server takes both forms only,
    also where `*/*` would be enough (RFC 9110 section 12.5.1)."""
    async with running("nginx", tmp_path, elsewhere={"time": everything}) as edge:
        bearer = {"Authorization": f"Bearer {await edge.token()}"}
        spellings = ("", "/")
        origins: tuple[dict[str, str], ...] = ({}, {"Origin": "https://claude.ai"})
        accepts = (BOTH, "*/*", "application/json", "text/event-stream", "text/html")
        for slash, origin, accept in itertools.product(spellings, origins, accepts):
            headers = {"Accept": accept, **origin}
            first = await ask(edge, "POST", slash, headers)
            assert first.status_code == (406 if accept == "text/html" else 401)
            answer = await ask(edge, "POST", slash, headers | bearer)
            assert answer.status_code == (200 if accept == BOTH else 406)
            if accept == BOTH:
                session = {"Mcp-Session-Id": answer.headers["mcp-session-id"]}
                assert (await ask(edge, "DELETE", slash, headers | bearer | session)).status_code == 200
            assert accept in (BOTH, "text/html") or "Client must accept both" in answer.text


async def test_without_a_token_nothing_of_it_can_be_used(everything: int, tmp_path: Path) -> None:
    async with running("nginx", tmp_path, elsewhere={"time": everything}) as edge:
        for path in (
            "/mcp",
            "/mcp/",
            "/mcp/x",
            "/mcp/.well-known/x",
            "/mcp/A/.well-known/x",
            "/MCP",
            "//mcp",
        ):
            url = edge.time.removesuffix("/mcp") + path
            answer = await edge.ask("POST", url, headers={"Accept": BOTH}, json=INITIALIZE)
            assert answer.status_code in (401, 404), path
            assert "serverInfo" not in answer.text
