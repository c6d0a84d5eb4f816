"""The suite's server and client modes: the proxy in front of the fixture server, and the bridge."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.conftest import ROOT, free_port

from .suite import Outcome, run_suite

REVISIONS = ("2025-11-25", "2026-07-28")
FIXTURE = (sys.executable, str(Path(__file__).with_name("fixture_server.py")))
HANDSHAKE_FIXTURE = (
    sys.executable,
    str(ROOT / "mcp-streamablehttp-proxy" / "tests" / "servers" / "handshake.py"),
)
DRIVER = f"{sys.executable} {ROOT / 'tests' / 'conformance_client' / 'driver.py'}"


def proxy(place: Path) -> Iterator[Outcome]:
    """In front of a server that speaks both eras."""
    with serving(place / "proxy.log", *FIXTURE) as url:
        for revision in REVISIONS:
            yield run_suite("proxy", revision, "server", ["--url", url, "--requirements", revision])


def proxy_of_handshake_server(place: Path) -> Iterator[Outcome]:
    """In front of a server that knows only `initialize`: 2026-07-28 by translation."""
    with serving(place / "proxy-handshake.log", *HANDSHAKE_FIXTURE) as url:
        yield run_suite(
            "proxy, handshake-only server",
            "2026-07-28",
            "server",
            ["--url", url, "--requirements", "2026-07-28"],
        )


def bridge(place: Path) -> Iterator[Outcome]:
    for revision in REVISIONS:
        arguments = ["--command", DRIVER, "--requirements", revision, "--timeout", "180000"]
        yield run_suite("bridge", revision, "client", arguments)


@contextmanager
def serving(log: Path, *command: str) -> Iterator[str]:
    port = free_port()
    program = Path(sys.executable).with_name("mcp-streamablehttp-proxy")
    with log.open("w") as output:
        process = subprocess.Popen(
            [program, "--port", str(port), "--", *command],
            stdout=output,
            stderr=output,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}/health", timeout=2).raise_for_status()
                break
            except httpx.HTTPError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"the proxy did not start:\n{log.read_text()}") from None
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.terminate()
        process.wait(timeout=20)
