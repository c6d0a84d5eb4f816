"""The bridge beside its peers: start, added latency, pipelined calls, memory, installed size."""

from __future__ import annotations

import os
import tempfile
import time
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
FASTMCP_REMOTE_VERSION = "4.1.4"
CALLS, PIPELINED = 200, 1000
SLOW = 20
"""Seconds for one turn beyond which a bridge has no further ones."""
TEXT = text(1000)

Peer = tuple[str, Sequence[str | Path], Path]
"""Version, command, and the folder that holds it with all it needs, without Python or Node."""


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
        for name, (_, command, _) in every.items():
            failed[name] = {}
            figures[name] = {"start ms": round(median(starts[name]), 1)}
            running_bridges[name] = stack.enter_context(bridged(command, _environment(home), home))
        latency: dict[str, list[float]] = {name: [] for name in (DIRECT, *every)}
        pipelined: dict[str, list[float]] = {name: [] for name in every}
        slow: set[str] = set()
        for _ in range(rounds.ROUNDS):
            latency[DIRECT].append(apply(session.load(TEXT, 1, 0.5)).p50_ms)
            for name, bridge in running_bridges.items():
                if name in slow:
                    continue
                note(name)
                begun = time.monotonic()
                try:
                    latency[name].append(median(bridge.latency_ms(CALLS, TEXT)))
                    pipelined[name].append(bridge.pipelined_per_second(PIPELINED, TEXT))
                except HostError as problem:
                    failed[name]["pipelined calls/s"] = str(problem)
                if time.monotonic() - begun > SLOW:
                    slow.add(name)
        direct = median(latency[DIRECT])
        for name, bridge in running_bridges.items():
            found = median(latency[name])
            figures[name] |= {"p50 ms": round(found, 3), "added p50 ms": round(found - direct, 3)}
            if pipelined[name]:
                figures[name]["pipelined calls/s"] = round(median(pipelined[name]), 1)
            if not failed[name]:
                figures[name]["MB"] = resident_mb(bridge.pid)
            figures[name]["installed MB"] = _megabytes(every[name][2])
    rows = [Row(name, every[name][0], figures[name], failed[name]) for name in every]
    rows.append(Row(DIRECT, f"uvicorn {version('uvicorn')}", {"p50 ms": round(direct, 3)}))
    report = Report("bridge", f"calls of 1 kB; pipelined: {PIPELINED} at once", rows)
    targets = {"start ms": (0.5, True), "added p50 ms": (0.4, True), "pipelined calls/s": (2.0, False)}
    for peer in tuple(every)[1:]:
        for figure, (target, at_most) in targets.items():
            report.compare(OURS, peer, figure, target if peer == REMOTE else None, at_most=at_most)
    return report


def _bridges(url: str) -> dict[str, Peer]:
    """Ours first; what is missing is installed."""
    remote = installed("mcp-remote", REMOTE_VERSION) / "dist" / "proxy.js"
    supergateway = installed("supergateway", SUPERGATEWAY_VERSION) / "dist" / "index.js"
    mcp_proxy = virtualenv("mcp-proxy", f"mcp-proxy=={MCP_PROXY_VERSION}") / "mcp-proxy"
    fastmcp = virtualenv("fastmcp-remote", f"fastmcp-remote=={FASTMCP_REMOTE_VERSION}") / "fastmcp-remote"
    quiet = ("--logLevel", "none")
    own = virtualenv("bridge", str(ROOT / "mcp-streamablehttp-client")).parent
    return {
        OURS: (version("mcp-streamablehttp-client"), (BIN / "mcp-streamablehttp-client", url), own),
        REMOTE: (REMOTE_VERSION, (NODE, remote, url), _modules(remote)),
        "fastmcp-remote": (
            FASTMCP_REMOTE_VERSION,
            (fastmcp, url, "--auth", "none", "--silent"),
            fastmcp.parents[1],
        ),
        "supergateway": (
            SUPERGATEWAY_VERSION,
            (NODE, supergateway, "--streamableHttp", url, *quiet),
            _modules(supergateway),
        ),
        "mcp-proxy (PyPI)": (
            MCP_PROXY_VERSION,
            (mcp_proxy, "--transport", "streamablehttp", url),
            mcp_proxy.parents[1],
        ),
    }


def _starts(every: dict[str, Peer], home: str) -> dict[str, list[float]]:
    """Milliseconds from start to `initialize` answered; a first one of each fills caches."""
    found: dict[str, list[float]] = {name: [] for name in every}
    for turn in range(rounds.ROUNDS + 1):
        for name, (_, command, _) in every.items():
            with bridged(command, _environment(home), home) as bridge:
                if turn:
                    found[name].append(bridge.started_ms)
    return found


def _modules(program: Path) -> Path:
    return next(folder for folder in program.parents if folder.name == "node_modules")


def _megabytes(folder: Path) -> float:
    """What its files take, each counted once and without what Python compiled."""
    found = {
        status.st_ino: status.st_size
        for path in folder.rglob("*")
        if path.suffix != ".pyc" and not path.is_symlink() and path.is_file()
        for status in (path.stat(),)
    }
    return round(sum(found.values()) / 1e6, 1)


def _environment(home: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": home}
