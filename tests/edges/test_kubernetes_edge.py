"""The rendered objects, read by the real Traefik with the chart's options: the gate stands before servers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.edges.conftest import Edge, running
from tests.edges.fuzz import fuzz
from tests.edges.kubernetes_traefik import FILES
from tests.edges.test_edges import CALL, JSON, bearer, challenge, metadata, seen


async def ask(edge: Edge, method: str, url: str, **options: Any) -> httpx.Response:
    """It is 503 while this machine is too busy for the edge's health check of auth, which has two seconds."""
    async with asyncio.timeout(120):
        while (answer := await edge.ask(method, url, **options)).status_code == 503:
            await asyncio.sleep(0.1)
    return answer


@pytest.mark.parametrize("name", FILES)
async def test_a_server_is_behind_the_gate_and_what_needs_no_token_before_it(
    name: str, tmp_path: Path
) -> None:
    async with running(name, tmp_path) as edge:
        refused = await ask(edge, "POST", edge.time, headers=JSON, **CALL)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, challenge(edge))
        elsewhere = await edge.token(resource=edge.url("echo"))
        assert (await ask(edge, "POST", edge.time, headers=bearer(elsewhere), **CALL)).status_code == 401
        assert edge.server.reached == 0
        allowed = await ask(edge, "POST", edge.time, headers=bearer(await edge.token()), **CALL)
        assert allowed.status_code == 200
        assert seen(allowed)["x-user-id"] == ["local:ada"]
        assert "authorization" not in seen(allowed)
        assert allowed.headers["content-security-policy"].startswith("sandbox;")
        assert (await ask(edge, "GET", metadata(edge))).json()["resource"] == edge.time
        nothing = edge.url("nothing")
        unknown = await ask(edge, "POST", nothing, headers=bearer(await edge.token(resource=nothing)), **CALL)
        assert unknown.status_code == 404
        assert await edge.gateway.ctx.servers.names() == ["echo", "time"]


@pytest.mark.parametrize("name", FILES)
async def test_nothing_reaches_a_server_without_its_token(name: str, tmp_path: Path) -> None:
    run = await fuzz(name, tmp_path, 200, 17)
    assert not run.faults, f"{len(run.faults)} faults:\n" + "\n".join(run.faults[:5])
    assert all(server.reached for server in run.edge.servers.values())
