"""A bounded run of tests/edges/fuzz.py for every edge; `./justw fuzz-gate 100000` is the long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.edges.conftest import EDGES
from tests.edges.fuzz import fuzz

COUNT = 400
SEED = 14
"""The gate sends the same requests each time, so that only a change breaks it; the long run draws its own."""


@pytest.mark.parametrize("name", EDGES)
async def test_nothing_reaches_a_server_without_its_token(name: str, tmp_path: Path) -> None:
    run = await fuzz(name, tmp_path, COUNT, SEED)
    assert not run.faults, f"{len(run.faults)} faults:\n" + "\n".join(run.faults[:5])
    assert all(server.reached > 2 for server in run.edge.servers.values())
    assert run.statuses["401"] > COUNT / 20
