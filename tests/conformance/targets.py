"""The suite's server and client modes: proxy and stateful server around the same fixture, and the bridge."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.access import Access, obtain_access
from tests.conftest import ROOT, Gateway, LocalRun, Person, browser_page, free_port, listen_for_callback

from .relay import signed_in
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


def stateful(place: Path) -> Iterator[Outcome]:
    """The stateful server with what the suite calls: its own HTTP, sessions, events and store."""
    port = free_port()
    state = f"sqlite:///{place / 'conformance.db'}"
    options = ("--conformance", "--port", str(port), "--echo-state-url", state)
    with started(
        place / "stateful.log", port, (program("mcp-echo-streamablehttp-server-stateful"), *options)
    ) as url:
        for revision in REVISIONS:
            yield run_suite("stateful server", revision, "server", ["--url", url, "--requirements", revision])


def stateful_through_the_gateway(place: Path) -> Iterator[Outcome]:
    """The same behind the local gateway: real Traefik, and a token that was consented to in Chromium."""
    state = place / "gateway"
    state.mkdir()
    run = LocalRun(free_port(), state)
    run.start(MCP_CONFORMANCE="true")
    try:
        gateway = Gateway(
            f"http://localhost:{run.port}", f"http://localhost:{run.port}/{{name}}/mcp", run.password()
        )
        access = asyncio.run(sign_in(gateway, "echo-stateful"))
        with signed_in(access.resource, access.tokens["access_token"]) as url:
            for revision in REVISIONS:
                arguments = ["--url", url, "--requirements", revision]
                yield run_suite("stateful server through the gateway", revision, "server", arguments)
    finally:
        run.stop()


OF_ITSELF = {
    "2025-11-25": (
        "server-initialize",
        "ping",
        "tools-list",
        "server-sse-multiple-streams",
        "dns-rebinding-protection",
    ),
    "2026-07-28": (
        "tools-list",
        "server-sse-multiple-streams",
        "dns-rebinding-protection",
        "sep-2164-resource-not-found",
        "input-required-result-unsupported-methods",
        "input-required-result-ignore-extra-params",
        "input-required-result-validate-input",
    ),
}
"""Scenarios of a set that call no tool, prompt or resource of the suite's own."""


def native_as_they_are(place: Path) -> Iterator[Outcome]:
    """The servers without the suite's tools: what there is of a set that a server passes of itself."""
    for name, title in (
        ("mcp-echo-streamablehttp-server-stateless", "stateless server as it is"),
        ("mcp-fetch-streamablehttp-server", "fetch as it is"),
    ):
        port = free_port()
        with started(place / f"{name}.log", port, (program(name), "--port", str(port))) as url:
            for revision in REVISIONS:
                arguments = ["--url", url, "--requirements", revision]
                yield run_suite(title, revision, "server", arguments).only(OF_ITSELF[revision])


async def sign_in(gateway: Gateway, name: str) -> Access:
    async with (
        browser_page() as page,
        listen_for_callback() as callback,
        httpx.AsyncClient(timeout=90) as http,
    ):
        return await obtain_access(gateway.server(name), Person(page, gateway), callback, http)


def proxy_of_handshake_server(place: Path) -> Iterator[Outcome]:
    """In front of a server that knows only `initialize`: 2026-07-28 by translation."""
    with serving(place / "proxy-handshake.log", *HANDSHAKE_FIXTURE) as url:
        yield run_suite(
            "proxy, handshake-only server",
            "2026-07-28",
            "server",
            ["--url", url, "--requirements", "2026-07-28"],
        )


def combination(place: Path) -> Iterator[Outcome]:
    """All servers of a file as one: the suite's fixture under its own names, beside a server of others."""
    command, *arguments = FIXTURE
    entries = {
        "time": {
            "command": program("mcp-server-time"),
            "args": ["--local-timezone", "UTC"],
            "isolation": "shared",
        },
        "fixture": {"command": command, "args": arguments, "combined": ""},
    }
    file = place / "mcp.json"
    file.write_text(json.dumps({"mcpServers": entries}))
    port = free_port()
    start = (program("mcp-streamablehttp-proxy"), "--port", str(port), "--combine", "--config", str(file))
    with started(place / "combination.log", port, start) as url:
        for revision in REVISIONS:
            arguments = ["--url", url, "--requirements", revision]
            yield run_suite("combination", revision, "server", arguments)


def bridge(place: Path) -> Iterator[Outcome]:
    for revision in REVISIONS:
        arguments = ["--command", DRIVER, "--requirements", revision, "--timeout", "180000"]
        yield run_suite("bridge", revision, "client", arguments)


@contextmanager
def serving(log: Path, *command: str) -> Iterator[str]:
    port = free_port()
    start = (program("mcp-streamablehttp-proxy"), "--port", str(port), "--", *command)
    with started(log, port, start) as url:
        yield url


def program(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


@contextmanager
def started(log: Path, port: int, command: Sequence[str]) -> Iterator[str]:
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=output,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}/health", timeout=2).raise_for_status()
                break
            except httpx.HTTPError as error:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"the server did not start:\n{log.read_text()}") from error
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.terminate()
        process.wait(timeout=60)
