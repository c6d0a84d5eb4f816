"""Dynamic client registrations per second beside node-oidc-provider and version 0.2.0."""

from __future__ import annotations

import json
from contextlib import ExitStack
from importlib.metadata import version

from gateway.node import NODE, installed

from . import gateways
from .load import Load
from .report import Report, Row
from .rounds import compare
from .servers import ROOT, free_port, redis, running

CONNECTIONS = 8
SECONDS = 1.5
SQLITE, REDIS = "this, SQLite", "this, Redis"
NODE_REDIS, NODE_MEMORY = "node-oidc-provider, Redis", "node-oidc-provider, in memory"
PREDECESSOR = "mcp-oauth-dynamicclient, Redis"
NODE_VERSION = "9.13.3"
IOREDIS = "ioredis@5.8.2"
CLIENT = {
    "client_name": "Benchmark",
    "redirect_uris": ["https://client.example/callback"],
    "grant_types": ["authorization_code", "refresh_token"],
    "response_types": ["code"],
    "token_endpoint_auth_method": "client_secret_basic",
}


def measure() -> Report:
    modules = installed("oidc-provider", NODE_VERSION, IOREDIS).parent
    script = modules.parent / "oidc_provider.mjs"  # beside node_modules, where its import is looked up
    script.write_bytes((ROOT / "benchmarks" / "peers" / "oidc_provider.mjs").read_bytes())
    with ExitStack() as stack:
        redis_port = stack.enter_context(redis())
        memory_port, node_port = free_port(), free_port()
        stack.enter_context(running(NODE, script, str(memory_port), port=memory_port))
        stack.enter_context(running(NODE, script, str(node_port), str(redis_port), port=node_port))
        sqlite, _ = stack.enter_context(gateways.ours(""))
        shared, _ = stack.enter_context(gateways.ours(f"redis://127.0.0.1:{redis_port}/0"))
        old, _ = stack.enter_context(gateways.predecessor(redis_port, version("uvicorn")))
        found = compare(
            {
                SQLITE: _load(sqlite, "/register"),
                REDIS: _load(shared, "/register"),
                NODE_REDIS: _load(node_port, "/reg"),
                NODE_MEMORY: _load(memory_port, "/reg"),
                PREDECESSOR: _load(old, "/register"),
            }
        )
    ours = version("mcp-oauth-dynamicclient")
    versions = {
        SQLITE: ours, REDIS: ours, NODE_REDIS: NODE_VERSION, NODE_MEMORY: NODE_VERSION,
        PREDECESSOR: gateways.PREDECESSOR,
    }  # fmt: skip
    rows = [
        Row(
            name,
            versions[name],
            {"registrations/s": one.per_second, "p50 ms": one.p50_ms, "p99 ms": one.p99_ms},
            turns={"registrations/s": one.turns},
        )
        for name, one in found.items()
    ]
    report = Report("register", f"one process, {CONNECTIONS} connections, a confidential client", rows)
    for name in (SQLITE, REDIS):
        report.compare(name, NODE_REDIS, "registrations/s", target=0.5)
        report.compare(name, NODE_MEMORY, "registrations/s")
        report.compare(name, PREDECESSOR, "registrations/s", target=2)
    return report


def _load(port: int, path: str) -> Load:
    body = json.dumps(CLIENT)
    request = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    )
    return Load(port, request, CONNECTIONS, SECONDS, expect=201)
