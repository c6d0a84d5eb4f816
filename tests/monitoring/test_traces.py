"""One call is one trace, from the edge to the process of the server; and no span holds a secret."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from ruamel.yaml import YAML

from gateway.services import tracing
from tests.access import Access, obtain_access
from tests.conftest import ROOT, Gateway, LocalRun, Person, browser_page, listen_for_callback
from tests.local.test_inside import MODERN

from .collector import Collector, Span, collecting

PLANTED = "pl4nted-s3cret"
AUTH, PROXY = "mcp-oauth-dynamicclient", "mcp-streamablehttp-proxy"
ECHO = "mcp-echo-streamablehttp-server-stateless"
SERVER = """
import json, sys

for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message:
        continue
    if message["method"] == "initialize":
        told = {"name": "mirror", "version": "1"}
        result = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": told}
    elif message["method"] == "tools/list":
        result = {"tools": [{"name": "mirror", "inputSchema": {"type": "object"}}]}
    else:
        text = json.dumps(message["params"].get("_meta"))
        result = {"content": [{"type": "text", "text": text}]}
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
"""
"""A server of the handshake era whose one tool says what `_meta` came with the call."""


async def call(access: Access, tool: str, http: httpx.AsyncClient, **meta: str) -> httpx.Response:
    """A call with a secret in its arguments, its cookies and its query."""
    version = {"io.modelcontextprotocol/protocolVersion": MODERN}
    declared = {"io.modelcontextprotocol/clientCapabilities": {}, **meta}
    params = {"name": tool, "arguments": {"message": PLANTED}, "_meta": {**version, **declared}}
    said = {"mcp-protocol-version": MODERN, "mcp-method": "tools/call", "mcp-name": tool}
    return await http.post(
        access.resource,
        params={"q": PLANTED},
        json={"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params},
        headers={**said, **access.bearer, "cookie": f"c={PLANTED}"},
    )


def chain(spans: list[Span], last: bytes) -> list[tuple[str, str]]:
    """A span and those above it, the first first, each by its service and name."""
    by_id = {span.id: span for span in spans}
    found: list[tuple[str, str]] = []
    while (span := by_id.get(last)) is not None:
        found.insert(0, (span.service, span.name))
        last = span.parent
    return found


def complete(spans: list[Span], name: str = "tools/call mirror") -> bool:
    """Whether a call of the process is there to its last span: each service sends its own when it likes."""
    verified = {span.trace for span in spans if whole(spans, span, AUTH, "GET /verify")}
    return any(whole(spans, span, PROXY, name) and span.trace in verified for span in spans)


def whole(spans: list[Span], span: Span, service: str, name: str) -> bool:
    """Whether it is this span, and all above it are there, up to the edge's first."""
    if (span.service, span.name) != (service, name):
        return False
    by_id = {one.id: one for one in spans}
    while span.parent and span.parent in by_id:
        span = by_id[span.parent]
    return span.service == "traefik" and not span.parent


@pytest.mark.timeout(600)
async def test_a_call_is_one_trace_without_secrets(
    local_run: LocalRun, tmp_path: Path, http: httpx.AsyncClient
) -> None:
    (tmp_path / "mirror.py").write_text(SERVER)
    entry = {"command": sys.executable, "args": [str(tmp_path / "mirror.py")]}
    (tmp_path / "mcp.json").write_text(json.dumps({"mcpServers": {"mirror": entry}}))
    with collecting() as (collector, endpoint):
        local_run.start(
            str(tmp_path / "mcp.json"), OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_BSP_SCHEDULE_DELAY="200"
        )
        secrets = await use(local_run, http, collector)
        local_run.stop()  # whose end sends what was not sent yet
    holds_none(collector, secrets)


EDGE = YAML(typ="safe").load(ROOT / "docker-compose.yml")["services"]["traefik"]


@pytest.mark.parametrize(
    ("environment", "options"),
    [
        ({}, []),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel:4318/"},
            ["--tracing.otlp.http.endpoint=http://otel:4318/v1/traces", "--tracing.samplerate=1"],
        ),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel:4318", "OTEL_TRACES_SAMPLER_ARG": "0.1"},
            ["--tracing.otlp.http.endpoint=http://otel:4318/v1/traces", "--tracing.samplerate=0.1"],
        ),
    ],
)
def test_compose_gives_the_edge_the_same_words(
    environment: dict[str, str], options: list[str], tmp_path: Path
) -> None:
    (tmp_path / "traefik").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (tmp_path / "traefik").chmod(0o755)
    given = [word.replace("$$", "$") for word in EDGE["entrypoint"]]
    command = [*given, *(word.partition("{{")[0] for word in EDGE["command"])]
    said = subprocess.run(
        command,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.splitlines()[len(EDGE["command"]) :] == options
    in_a_local_run = tracing(environment)
    assert set(options) - {"--tracing.samplerate=1"} <= set(in_a_local_run)
    assert set(in_a_local_run) - set(options) <= set(EDGE["command"])


async def use(run: LocalRun, http: httpx.AsyncClient, collector: Collector) -> list[str]:
    """Calls as a client makes them; what of it nobody else may know."""
    issuer = f"http://localhost:{run.port}"
    gateway = Gateway(issuer, issuer + "/{name}/mcp", run.password(), run.state)
    secrets = [gateway.password, PLANTED, "Bearer"]
    async with browser_page() as page:
        person = Person(page, gateway)
        for name, tool in (("mirror", "mirror"), ("echo-stateless", "echo")):
            async with listen_for_callback() as callback:
                access = await obtain_access(gateway.server(name), person, callback, http)
                answered = await callback.answer()
                secrets += [answered["code"], answered["state"]]
            secrets += [access.tokens["access_token"], access.tokens["refresh_token"]]
            answer = await call(access, tool, http)
            assert answer.status_code == 200, answer.text
            if name == "mirror":
                meta = json.loads(answer.json()["result"]["content"][0]["text"])
                goes_on_into_the_process(await collector.until(complete), meta)
                await a_client_with_a_trace_of_its_own(access, http, collector)
            else:
                goes_on_into_a_native_server(await collector.until(of_echo))
        secrets += [cookie["value"] for cookie in await page.context.cookies()]
    refused = await http.get(f"{issuer}/authorize", params={"client_id": PLANTED, "state": PLANTED})
    assert refused.status_code == 400
    return secrets


def of_echo(spans: list[Span]) -> bool:
    return any(whole(spans, span, ECHO, "tools/call echo") for span in spans)


def goes_on_into_the_process(spans: list[Span], meta: dict[str, str]) -> None:
    version, trace, parent, flags = meta["traceparent"].split("-")
    assert version == "00"
    assert int(flags, 16) & 1  # sampled
    of_the_call = [span for span in spans if span.trace == bytes.fromhex(trace)]
    assert chain(of_the_call, bytes.fromhex(parent)) == [
        ("traefik", "POST"),
        ("traefik", "ReverseProxy"),
        (PROXY, "POST /mcp"),
        (PROXY, "tools/call mirror"),
    ]
    [verified] = [span.id for span in of_the_call if span.name == "GET /verify"]
    assert chain(of_the_call, verified) == [
        ("traefik", "POST"),
        ("traefik", "AuthRequest"),
        (AUTH, "GET /verify"),
    ]
    assert len(of_the_call) == 6
    assert {span.server.endswith("/mirror/mcp") for span in of_the_call if span.service == PROXY} == {True}


def goes_on_into_a_native_server(spans: list[Span]) -> None:
    [called] = [span.id for span in spans if (span.service, span.name) == (ECHO, "tools/call echo")]
    assert chain(spans, called) == [
        ("traefik", "POST"),
        ("traefik", "ReverseProxy"),
        (ECHO, "POST /mcp"),
        (ECHO, "tools/call echo"),
    ]


async def a_client_with_a_trace_of_its_own(
    access: Access, http: httpx.AsyncClient, collector: Collector
) -> None:
    """Which the message names and the HTTP request does not: it is continued, and the edge's is linked."""
    mine = "ab" * 16
    answer = await call(access, "mirror", http, traceparent=f"00-{mine}-{'cd' * 8}-01")
    meta = json.loads(answer.json()["result"]["content"][0]["text"])
    _, trace, parent, _ = meta["traceparent"].split("-")
    assert trace == mine
    spans = await collector.until(lambda spans: any(span.trace == bytes.fromhex(mine) for span in spans))
    [called] = [span for span in spans if span.trace == bytes.fromhex(mine)]
    assert (called.id, called.parent) == (bytes.fromhex(parent), bytes.fromhex("cd" * 8))
    [edge] = called.links
    spans = await collector.until(lambda spans: any(span.trace == edge and not span.parent for span in spans))
    assert "traefik" in {span.service for span in spans if span.trace == edge}


def holds_none(collector: Collector, secrets: list[str]) -> None:
    names = {span.name for span in collector.spans}
    assert {"GET /authorize", "POST /consent", "POST /token", "POST /register"} <= names
    for body in collector.bodies:
        for secret in secrets:
            assert secret.encode() not in body, secret
    for span in collector.spans:
        for name, value in span.attributes.items():
            values: list[Any] = re.findall(r"[?&]?[^?&=]+=([^&]*)", value) if name == "url.query" else []
            assert set(values) <= {"REDACTED"}, span
