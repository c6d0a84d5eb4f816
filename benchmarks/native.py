"""The native servers before their first call, beside the smallest server of the SDK: start and memory."""

from __future__ import annotations

import os
import socket
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median

from . import rounds
from .memory import resident_mb
from .report import Report, Row, note
from .servers import ROOT, free_port, started, virtualenv

PEER = "the SDK's smallest server"
NATIVE = (
    "mcp-fetch-streamablehttp-server",
    "mcp-echo-streamablehttp-server-stateless",
    "mcp-echo-streamablehttp-server-stateful",
)


def measure() -> Report:
    """Medians over turns, in each of which every server starts once; the first turn only fills caches."""
    # An environment of their own: what the workshop has beside them (rich, for one) would be imported too.
    programs = virtualenv("native", *(part for name in NATIVE for part in ("-e", str(ROOT / name))))
    smallest = (programs / "python", ROOT / "benchmarks" / "peers" / "smallest.py")
    starts: dict[str, list[float]] = {name: [] for name in (*NATIVE, PEER)}
    cpu: dict[str, list[float]] = {name: [] for name in starts}
    memory: dict[str, list[float]] = {name: [] for name in starts}
    for turn in range(rounds.ROUNDS + 1):
        for name in starts:
            note(name)
            port = free_port()
            command = (*smallest, str(port)) if name == PEER else (programs / name, "--port", str(port))
            found = _start(command, port)
            if turn:
                for figures, value in zip((starts, cpu, memory), found, strict=True):
                    figures[name].append(value)
    rows = [
        Row(
            name,
            f"mcp {version('mcp')}" if name == PEER else version(name),
            {
                "start ms": round(median(starts[name])),
                "start CPU ms": round(median(cpu[name])),
                "MB": round(median(memory[name]), 1),
            },
            turns={
                "start ms": tuple(starts[name]),
                "start CPU ms": tuple(cpu[name]),
                "MB": tuple(memory[name]),
            },
        )
        for name in starts
    ]
    report = Report("native", "before the first call: start until it accepts, memory", rows)
    for name in NATIVE:
        report.compare(name, PEER, "start ms", 1.15, at_most=True)
        report.compare(name, PEER, "start CPU ms", 1.15, at_most=True)
        report.compare(name, PEER, "MB", 1.2, at_most=True)
    return report


def _start(command: Sequence[str | Path], port: int) -> tuple[float, float, float]:
    """Milliseconds until the first answer, of them processor time, and MB."""
    with tempfile.TemporaryDirectory() as home:
        environment = {
            "MCP_ECHO_STATE_URL": "memory:",
            "MCP_BIND_HOST": "127.0.0.1",
            "HOME": home,
        }
        begun = time.monotonic()
        with started(*command, port=port, environment=environment) as process:
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(b"GET /none HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
                connection.recv(100)
            took = time.monotonic() - begun
            fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
            ticks = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            return round(took * 1000, 1), round(ticks * 1000, 1), resident_mb(process.pid)
