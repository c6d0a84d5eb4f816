"""A server behind a local run's edge ends: who may ask it is told to come back, nobody else learns of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from tests.edges.conftest import Edge, running

BODIES = (b"{}", b"[" + b"0," * 200_000 + b"0]")


async def ask(edge: Edge, body: bytes, token: str = "") -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return await edge.ask("POST", edge.time, headers=headers, content=body)


@pytest.mark.parametrize("name", ["traefik", "traefik-one-host"])
async def test_a_server_that_ended_is_503_behind_the_gate(name: str, tmp_path: Path) -> None:
    async with running(name, tmp_path) as edge:
        token = await edge.token()
        edge.server.closes = True
        for body in BODIES:
            assert (await ask(edge, body, token)).status_code == 200
        await edge.stop_server("time")
        for body in BODIES:
            answer = await ask(edge, body, token)
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) > 0
            assert "try again" in answer.json()["error"]["message"]
            # /verify says it, or what the edge falls back to, whichever has heard of it first.
            assert answer.headers["content-security-policy"]
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["cache-control"] == "no-store"
        assert (await ask(edge, b"{}")).status_code == 401
        other = await edge.token(resource=edge.url("echo"))
        assert (await ask(edge, b"{}", other)).status_code == 401
        async with asyncio.timeout(120):
            while (await edge.ask("GET", edge.time.replace("/mcp", "/health"))).status_code != 503:
                await asyncio.sleep(0.1)
