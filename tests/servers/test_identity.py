"""Our own servers as real processes, with signed identity switched on: who gets in, and what they believe.

The gateway is a small one that signs with a key of the test's; the real one is in tests/local.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from tests.conftest import ROOT
from tests.signer import OWN, Signer, signing

BIN = Path(sys.executable).parent
HANDSHAKE, MODERN = "2025-11-25", "2026-07-28"
META: dict[str, Any] = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
SERVERS = {
    "echo-stateless": ("mcp-echo-streamablehttp-server-stateless",),
    "echo-stateful": ("mcp-echo-streamablehttp-server-stateful",),
    "fetch": ("mcp-fetch-streamablehttp-server",),
    "time": ("mcp-streamablehttp-proxy", "--", str(BIN / "mcp-server-time")),
}


@pytest.fixture(scope="module")
def signer() -> Iterator[Signer]:
    with signing() as made:
        yield made


HANDSHAKE_ONLY = str(ROOT / "mcp-streamablehttp-proxy" / "tests" / "servers" / "handshake.py")
TRANSLATED = {"translated": ("mcp-streamablehttp-proxy", "--", sys.executable, HANDSHAKE_ONLY)}
"""A server of the handshake era, whose subscriptions the proxy keeps."""


@pytest.fixture(scope="module", params=SERVERS)
def server(
    request: pytest.FixtureRequest, signer: Signer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """Name and address of a server, listening on loopback."""
    name = request.param
    log = tmp_path_factory.mktemp(name) / "log"
    environment = {
        "PATH": os.environ["PATH"],
        "MCP_PORT": "0",
        "MCP_TRUST_IDENTITY": "true",
        "MCP_PUBLIC_URL": OWN.format(name=name),
        "MCP_IDENTITY_URL": signer.url,
        "MCP_ECHO_STATE_URL": "memory:",
    }
    program, *arguments = (SERVERS | TRANSLATED)[name]
    with log.open("w") as output:
        process = subprocess.Popen([str(BIN / program), *arguments], env=environment, stderr=output)
    try:
        while not (found := address(log.read_text())):
            assert process.poll() is None, log.read_text()
            time.sleep(0.05)
        yield name, found
    finally:
        process.terminate()
        process.wait(60)


def address(log: str) -> str | None:
    if found := re.search(r"Listening on (http://\S+)/mcp", log):
        return found[1]
    if (found := re.search(r'"port": ?(\d+)', log)) and "listening" in log:
        return f"http://127.0.0.1:{found[1]}"
    return None


def ask(server: tuple[str, str], statement: str | None, **headers: str) -> httpx.Response:
    sent = {"mcp-protocol-version": MODERN, "mcp-method": "tools/list", **headers}
    if statement:
        sent["x-gateway-identity"] = statement
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": META}}
    return httpx.post(f"{server[1]}/mcp", json=body, headers=sent, trust_env=False, timeout=60)


ATTACKS: dict[str, Callable[[Signer, str], str | None]] = {
    "none": lambda signer, name: None,
    "another server's, replayed": lambda signer, name: signer.sign("neighbour"),
    "expired": lambda signer, name: signer.sign(name, iat=int(time.time()) - 400, exp=int(time.time()) - 100),
    "another issuer's": lambda signer, name: signer.sign(name, iss="https://auth.evil.example"),
    "an access token": lambda signer, name: signer.sign(name, header={"typ": "at+jwt"}),
    "signed by somebody else": lambda signer, name: Signer().sign(name),
    "unsigned": lambda signer, name: jwt.encode(
        jwt.decode(signer.sign(name), options={"verify_signature": False}), "", algorithm="none",
        headers={"typ": "mcp-identity+jwt", "kid": "one"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_neighbour_gets_nowhere(server: tuple[str, str], signer: Signer, attack: str) -> None:
    answer = ask(server, ATTACKS[attack](signer, server[0]), **{"x-user-id": "local:admin"})
    assert answer.status_code == 403
    assert set(answer.json()) == {"jsonrpc", "id", "error"}


def test_the_gateway_gets_in(server: tuple[str, str], signer: Signer) -> None:
    answer = ask(server, signer.sign(server[0]))
    assert answer.status_code == 200, answer.text
    assert answer.json()["result"]["tools"]


def test_health_needs_no_statement(server: tuple[str, str]) -> None:
    assert httpx.get(f"{server[1]}/health", trust_env=False, timeout=60).json() == {"status": "healthy"}


@pytest.mark.parametrize("server", ["echo-stateless", "echo-stateful"], indirect=True)
def test_identity_headers_beside_a_statement_count_for_nothing(
    server: tuple[str, str], signer: Signer
) -> None:
    """Somebody inside who has a statement of their own cannot speak for another person."""
    headers = {
        "mcp-protocol-version": MODERN, "mcp-method": "tools/call", "mcp-name": "authContext",
        "x-gateway-identity": signer.sign(server[0]), "x-user-id": "local:admin", "x-user-name": "admin",
    }  # fmt: skip
    params = {"name": "authContext", "arguments": {}, "_meta": META}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    answer = httpx.post(f"{server[1]}/mcp", json=body, headers=headers, trust_env=False, timeout=60)
    told = answer.json()["result"]["structuredContent"]
    assert told["user_id"] == "local:ada"
    assert "admin" not in answer.text


@pytest.mark.parametrize("server", ["echo-stateless", "echo-stateful"], indirect=True)
def test_which_hop_reads_the_statement(server: tuple[str, str], signer: Signer) -> None:
    headers = {
        "mcp-protocol-version": MODERN, "mcp-method": "tools/call", "mcp-name": "whichHop",
        "x-gateway-identity": signer.sign(server[0]), "x-forwarded-proto": "https",
        "x-forwarded-host": f"{server[0]}.example.com",
    }  # fmt: skip
    params = {"name": "whichHop", "arguments": {}, "_meta": META}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    answer = httpx.post(f"{server[1]}/mcp", json=body, headers=headers, trust_env=False, timeout=60)
    told = answer.json()["result"]["structuredContent"]
    hops = {hop["hop"]: hop for hop in told["hops"]}
    assert told["broken"] == []
    assert {hop["state"] for name, hop in hops.items() if name != "client"} == {"well"}
    assert "https://auth.example.com signed that this is local:ada by client client-1" in hops["gate"]["what"]
    assert headers["x-gateway-identity"][-20:] not in answer.text


@pytest.mark.parametrize("name", SERVERS)
def test_it_does_not_start_without_its_own_address(name: str, signer: Signer) -> None:
    program, *arguments = SERVERS[name]
    environment = {"PATH": os.environ["PATH"], "MCP_IDENTITY_URL": signer.url}
    done = subprocess.run(
        [str(BIN / program), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "MCP_IDENTITY_URL needs MCP_PUBLIC_URL" in done.stderr
    assert len(done.stderr.splitlines()) == 1


async def opened(server: tuple[str, str], statement: str, http: httpx.AsyncClient) -> dict[str, str]:
    """A session of the handshake era, as the headers of its requests."""
    hello = {"protocolVersion": HANDSHAKE, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}
    answer = await http.post(f"{server[1]}/mcp", json=body, headers={"x-gateway-identity": statement})
    assert answer.status_code == 200, answer.text
    session = {"mcp-session-id": answer.headers["mcp-session-id"], "mcp-protocol-version": HANDSHAKE}
    note = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    headers = {**session, "x-gateway-identity": statement}
    assert (await http.post(f"{server[1]}/mcp", json=note, headers=headers)).status_code == 202
    return session


def ending(signer: Signer, name: str) -> str:
    """A statement that is about to end."""
    now = int(time.time())
    return signer.sign(name, iat=now - 200, exp=now + 2)


@pytest.mark.parametrize("server", ["echo-stateful", "time"], indirect=True)
async def test_a_standing_stream_ends_with_its_statement_and_another_can_be_opened(
    server: tuple[str, str], signer: Signer
) -> None:
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
        session = await opened(server, signer.sign(server[0]), http)
        for _ in range(2):
            # On a busy machine the two seconds may be over before the request is seen (401), and the client
            # may see the end of its stream before the server has put it away (409).
            async with asyncio.timeout(60):
                status = 401
                while status in (401, 409):
                    headers = {
                        **session,
                        "x-gateway-identity": ending(signer, server[0]),
                        "accept": "text/event-stream",
                    }
                    answer = await http.get(f"{server[1]}/mcp", headers=headers)
                    status = answer.status_code
            assert status == 200, answer.text
            assert answer.headers["content-type"].startswith("text/event-stream")
        headers = {**session, "x-gateway-identity": signer.sign(server[0])}
        body = {"jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": {}}
        assert (await http.post(f"{server[1]}/mcp", json=body, headers=headers)).status_code == 200


@pytest.mark.parametrize("server", TRANSLATED, indirect=True)
async def test_a_subscription_ends_with_its_result(server: tuple[str, str], signer: Signer) -> None:
    params = {"notifications": {"toolsListChanged": True}, "_meta": META}
    body = {"jsonrpc": "2.0", "id": "s-1", "method": "subscriptions/listen", "params": params}
    headers = {
        "mcp-protocol-version": MODERN, "mcp-method": "subscriptions/listen", "accept": "text/event-stream",
        "x-gateway-identity": ending(signer, server[0]),
    }  # fmt: skip
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
        answer = await http.post(f"{server[1]}/mcp", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    last = json.loads(answer.text.rstrip().rpartition("data: ")[2])
    assert (last["id"], last["result"]["resultType"]) == ("s-1", "complete")
