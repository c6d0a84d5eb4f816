"""The bridge beside its peers: start, added latency, pipelined calls, memory."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from statistics import median

from gateway.node import NODE, installed

from . import rounds
from .host import Bridge, HostError, bridged
from .load import apply
from .memory import resident_mb
from .relays import MCP_PROXY_VERSION, SUPERGATEWAY_VERSION
from .report import Report, Row, note
from .servers import BIN, ROOT, free_port, running, virtualenv
from .sessions import Session, text

OURS, REMOTE, DIRECT = "this", "mcp-remote", "without a bridge"
REMOTE_VERSION = "0.15.1"
CALLS, PIPELINED = 200, 1000
TEXT = text(1000)


def measure() -> Report:
    figures: dict[str, dict[str, float]] = {}
    failed: dict[str, dict[str, str]] = {}
    with ExitStack() as stack:
        port = free_port()
        server = (BIN / "uvicorn", "benchmarks.peers.remote:app", "--port", str(port), "--no-access-log")
        stack.enter_context(running(*server, "--log-level", "warning", port=port, cwd=ROOT))
        session = Session(port, "/mcp", {"Content-Type": "application/json", "Accept": "*/*"})
        home = stack.enter_context(tempfile.TemporaryDirectory())
        every = _bridges(f"http://127.0.0.1:{port}/mcp")
        starts = _starts(every, home)
        running_bridges: dict[str, Bridge] = {}
        for name, (_, command) in every.items():
            failed[name] = {}
            figures[name] = {"start ms": round(median(starts[name]), 1)}
            running_bridges[name] = stack.enter_context(bridged(command, _environment(home), home))
        latency: dict[str, list[float]] = {name: [] for name in (DIRECT, *every)}
        pipelined: dict[str, list[float]] = {name: [] for name in every}
        for _ in range(rounds.ROUNDS):
            latency[DIRECT].append(apply(session.load(TEXT, 1, 0.5)).p50_ms)
            for name, bridge in running_bridges.items():
                note(name)
                try:
                    latency[name].append(median(bridge.latency_ms(CALLS, TEXT)))
                    pipelined[name].append(bridge.pipelined_per_second(PIPELINED, TEXT))
                except HostError as problem:
                    failed[name]["pipelined calls/s"] = str(problem)
        direct = median(latency[DIRECT])
        for name, bridge in running_bridges.items():
            found = median(latency[name])
            figures[name] |= {"p50 ms": round(found, 3), "added p50 ms": round(found - direct, 3)}
            if pipelined[name]:
                figures[name]["pipelined calls/s"] = round(median(pipelined[name]), 1)
            figures[name]["MB"] = resident_mb(bridge.pid)
    rows = [Row(name, every[name][0], figures[name], failed[name]) for name in every]
    rows.append(Row(DIRECT, f"uvicorn {version('uvicorn')}", {"p50 ms": round(direct, 3)}))
    report = Report("bridge", f"calls of 1 kB; pipelined: {PIPELINED} at once", rows)
    targets = {"start ms": (0.5, True), "added p50 ms": (0.4, True), "pipelined calls/s": (2.0, False)}
    for peer in tuple(every)[1:]:
        for figure, (target, at_most) in targets.items():
            report.compare(OURS, peer, figure, target if peer == REMOTE else None, at_most=at_most)
    return report


def _bridges(url: str) -> dict[str, tuple[str, Sequence[str | Path]]]:
    """Version and command of each, ours first; what is missing is installed."""
    remote = installed("mcp-remote", REMOTE_VERSION) / "dist" / "proxy.js"
    supergateway = installed("supergateway", SUPERGATEWAY_VERSION) / "dist" / "index.js"
    mcp_proxy = virtualenv("mcp-proxy", f"mcp-proxy=={MCP_PROXY_VERSION}") / "mcp-proxy"
    quiet = ("--logLevel", "none")
    return {
        OURS: (version("mcp-streamablehttp-client"), (BIN / "mcp-streamablehttp-client", url)),
        REMOTE: (REMOTE_VERSION, (NODE, remote, url)),
        "supergateway": (SUPERGATEWAY_VERSION, (NODE, supergateway, "--streamableHttp", url, *quiet)),
        "mcp-proxy (PyPI)": (MCP_PROXY_VERSION, (mcp_proxy, "--transport", "streamablehttp", url)),
    }


def _starts(every: dict[str, tuple[str, Sequence[str | Path]]], home: str) -> dict[str, list[float]]:
    """Milliseconds from start to `initialize` answered; a first one of each fills caches."""
    found: dict[str, list[float]] = {name: [] for name in every}
    for turn in range(rounds.ROUNDS + 1):
        for name, (_, command) in every.items():
            with bridged(command, _environment(home), home) as bridge:
                if turn:
                    found[name].append(bridge.started_ms)
    return found


def _environment(home: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": home}
