"""The bridge in front of servers that nobody here wrote; the table is made by `./justw bench bridge-zoo`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.bridge_zoo import first_call
from benchmarks.zoo.servers import SERVERS, Server

PROGRAM = Path(sys.executable).with_name("mcp-streamablehttp-client")


@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.name)
def test_a_host_gets_its_first_call_answered(server: Server) -> None:
    with server.started() as there:
        first_call([PROGRAM, there.url], server, there)
