"""Three replicas of one service on loopback, each a process, behind a real Traefik that takes turns."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from gateway.node import NODE, installed
from tests.conftest import free_port

BIN = Path(sys.executable).parent
PROXY = ("mcp-streamablehttp-proxy", "--log-format", "json", "--trust-identity")
ECHO = ("mcp-echo-streamablehttp-server-stateful", "--trust-identity", "--echo-state-url", "memory:")
START_WITHIN = 120.0
END_WITHIN = 120.0
DRAIN = 15
"""Seconds; Traefik looks after each replica every second, and later on a busy machine."""


@dataclass
class Replica:
    port: int
    command: tuple[str, ...]
    log: Path
    process: subprocess.Popen[bytes] = field(init=False, repr=False)

    def start(self) -> None:
        self.process = started(self.command, self.log)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def kill(self) -> None:
        """As a machine that goes away: no signal that it could act on."""
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        """As an engine that replaces it: it is asked, and given the time that it takes."""
        self.process.terminate()
        self.process.wait(END_WITHIN)


@dataclass
class Fleet:
    """`url` is Traefik's, where whoever comes next is served by the next replica."""

    url: str
    replicas: list[Replica]
    http: httpx.Client = field(repr=False)

    def metric(self, name: str, server: str) -> list[int]:
        """A metric of a server at each replica that runs."""
        alive = [replica for replica in self.replicas if replica.process.poll() is None]
        pages = [self.http.get(f"{replica.url}/metrics").text for replica in alive]
        found = [re.search(rf'^{name}{{server="{server}"}} ([0-9]+)', page, re.MULTILINE) for page in pages]
        return [int(match[1]) if match else 0 for match in found]

    def restore(self) -> None:
        """Whoever is gone is there again."""
        for replica in self.replicas:
            if replica.process.poll() is not None:
                replica.start()
                healthy(self.http, replica.url, replica.log.parent)


@contextlib.contextmanager
def fleet(folder: Path, command: tuple[str, ...], *rest: str) -> Iterator[Fleet]:
    """Three of a service: its command, and what follows the options, such as `--` and a server."""
    ports = [free_port() for _ in range(3)]
    edge = free_port()
    secret = folder / "replica_secret"
    secret.write_text(secrets.token_hex(32))
    among = (
        "--replicas",
        ",".join(f"127.0.0.1:{port}" for port in ports),
        "--replica-secret-file",
        str(secret),
        "--drain",
        str(DRAIN),
    )
    with contextlib.ExitStack() as stack:
        http = stack.enter_context(httpx.Client(trust_env=False, timeout=120))
        replicas = []
        for port in ports:
            program = (str(BIN / command[0]), *command[1:], "--port", str(port), *among, *rest)
            replica = Replica(port, program, folder / f"{port}.log")
            replica.start()
            stack.callback(stop, replica)
            replicas.append(replica)
        stack.enter_context(traefik(folder, edge, ports))
        found = Fleet(f"http://127.0.0.1:{edge}", replicas, http)
        for address in (*(replica.url for replica in replicas), found.url):
            healthy(http, address, folder)
        yield found


@pytest.fixture
def proxies(the_proxies: Fleet) -> Fleet:
    """Proxies in front of unmodified servers, each at /NAME/mcp; all three, whatever was done to them."""
    the_proxies.restore()
    return the_proxies


@pytest.fixture(scope="package")
def the_proxies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("proxies")
    clock = {"command": sys.executable, "args": ["-m", "mcp_server_time", "--local-timezone", "UTC"]}
    servers = {
        "time": clock,
        "mine": {**clock, "isolation": "user"},
        "everything": {"command": str(NODE), "args": [str(everything() / "dist" / "index.js")]},
    }
    config = folder / "servers.json"
    config.write_text(json.dumps({"mcpServers": servers}))
    with fleet(folder, PROXY, "--config", str(config)) as found:
        yield found


def everything() -> Path:
    return installed("@modelcontextprotocol/server-everything", "2026.8.31")


@pytest.fixture
def echoes(the_echoes: Fleet) -> Fleet:
    """Stateful servers, each with its state in its own memory; all three."""
    the_echoes.restore()
    return the_echoes


@pytest.fixture(scope="package")
def the_echoes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with fleet(tmp_path_factory.mktemp("echoes"), ECHO) as found:
        yield found


def started(command: tuple[str, ...], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, "NO_COLOR": "1"})


def stop(replica: Replica) -> None:
    """At once, whatever it was about."""
    replica.process.send_signal(signal.SIGCONT)
    replica.process.send_signal(signal.SIGINT)
    try:
        replica.process.wait(60)
    except subprocess.TimeoutExpired:
        replica.kill()


@contextlib.contextmanager
def traefik(folder: Path, port: int, ports: list[int]) -> Iterator[None]:
    """As a load balancer that knows no sessions; one that is gone is left out after a second."""
    servers = [{"url": f"http://127.0.0.1:{one}"} for one in ports]
    check = {"path": "/health", "interval": "1s", "timeout": "2s", "hostname": "127.0.0.1"}
    rules = {
        "http": {
            "routers": {"all": {"rule": "PathPrefix(`/`)", "service": "all"}},
            "services": {"all": {"loadBalancer": {"servers": servers, "healthCheck": check}}},
        }
    }
    file = folder / "rules.yml"
    file.write_text(json.dumps(rules))  # JSON is YAML
    options = (f"--entrypoints.web.address=127.0.0.1:{port}", f"--providers.file.filename={file}")
    quiet = ("--global.checknewversion=false", "--global.sendanonymoususage=false")
    run = started((str(BIN / "traefik"), *options, *quiet), folder / "traefik.log")
    try:
        yield
    finally:
        run.kill()
        run.wait()


def healthy(http: httpx.Client, address: str, logs: Path) -> None:
    deadline = time.monotonic() + START_WITHIN
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if http.get(f"{address}/health").status_code == 200:
                return
        time.sleep(0.05)
    told = "\n".join(file.read_text() for file in logs.glob("*.log"))
    raise RuntimeError(f"{address} did not come up:\n{told}")
