"""From inside, past the gate: what a neighbour of the servers can do with names, statements and the edge."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.access import Access
from tests.conftest import Gateway

Obtain = Callable[[str], Awaitable[Access]]
SERVERS = ("echo-stateless", "echo-stateful", "fetch", "time")
MODERN = "2026-07-28"


def inside(gateway: Gateway, name: str) -> str:
    """Where a service of this local run listens itself, as its log says."""
    assert gateway.state is not None
    log = (gateway.state / "logs" / f"{name}.log").read_text()
    ports = re.findall(r"on http://127\.0\.0\.1:(\d+)|\"port\": ?(\d+)", log)
    return f"http://127.0.0.1:{max(ports[-1])}"


def internal(gateway: Gateway) -> str:
    """The address at which servers ask the gateway, from the environment of one of them."""
    port = inside(gateway, "echo-stateful").rpartition(":")[2]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environment = (process / "environ").read_text().split("\0")
            if f"MCP_PORT={port}" in environment:
                return next(
                    one.partition("=")[2] for one in environment if one.startswith("MCP_IDENTITY_URL=")
                )
        except OSError:
            continue
    raise LookupError(port)


async def call(
    url: str, headers: dict[str, str], tool: str | None = None, **arguments: Any
) -> httpx.Response:
    """A request of the stateless era: a tool's, or tools/list."""
    method = "tools/call" if tool else "tools/list"
    meta = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    params = {"_meta": meta} | ({"name": tool, "arguments": arguments} if tool else {})
    sent = {"mcp-protocol-version": MODERN, "mcp-method": method, **({"mcp-name": tool} if tool else {})}
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        return await http.post(url, json=body, headers=sent | headers)


async def stated(gateway: Gateway, access: Access) -> str:
    """The statement that the gate makes for a request to the server that the token is for."""
    url = httpx.URL(access.resource)
    asked = {
        "X-Forwarded-Method": "POST", "X-Forwarded-Host": url.netloc.decode(), "X-Forwarded-Uri": url.path,
    }  # fmt: skip
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
        answer = await http.get(f"{inside(gateway, 'auth')}/verify", headers=asked | access.bearer)
    assert answer.status_code == 200, answer.text
    return str(answer.headers["x-gateway-identity"])


@pytest.mark.parametrize("name", SERVERS)
async def test_a_neighbour_who_claims_to_be_admin_gets_nowhere(gateway: Gateway, name: str) -> None:
    """This returned admin's private memory once."""
    answer = await call(f"{inside(gateway, name)}/mcp", {"X-User-Id": "local:admin", "X-User-Name": "admin"})
    assert answer.status_code == 403
    assert "result" not in answer.json()


async def test_what_is_private_stays_with_the_person_and_a_statement_with_its_server(
    gateway: Gateway, obtain: Obtain
) -> None:
    access = await obtain(gateway.server("echo-stateful"))
    words = secrets.token_hex(8)
    said = await call(access.resource, access.bearer, "echo", message=words)
    assert said.status_code == 200, said.text
    statement = await stated(gateway, access)
    assert len(statement) < 1024

    own = f"{inside(gateway, 'echo-stateful')}/mcp"
    replayed = await call(
        own, {"X-Gateway-Identity": statement, "X-User-Id": "local:other"}, "replayLastEcho"
    )
    assert words in replayed.text, "the statement's word counts, whatever else is claimed"
    for name in SERVERS:
        if name != "echo-stateful":
            answer = await call(f"{inside(gateway, name)}/mcp", {"X-Gateway-Identity": statement})
            assert answer.status_code == 403, name
            assert "another server" in answer.text


async def test_a_servers_card_is_public_once_a_signed_in_call_has_reached_it(
    gateway: Gateway, obtain: Obtain, http: httpx.AsyncClient
) -> None:
    access = await obtain(gateway.server("time"))
    said = await call(access.resource, access.bearer)
    assert said.status_code == 200, said.text
    while (found := await http.get(f"{access.resource}/server-card")).status_code == 404:
        await asyncio.sleep(0.05)  # the server tells the gateway after it has answered
    card = found.json()
    assert (card["name"], card["title"]) == ("localhost/time", "mcp-time")
    assert card["remotes"][0]["url"] == access.resource
    catalog = (await http.get(f"{gateway.issuer}/.well-known/ai-catalog.json")).json()
    assert f"{access.resource}/server-card" in [entry["url"] for entry in catalog["entries"]]


async def test_statements_are_renewed_inside_until_the_token_is_revoked(
    gateway: Gateway, obtain: Obtain, http: httpx.AsyncClient
) -> None:
    access = await obtain(gateway.server("echo-stateless"))
    statement = await stated(gateway, access)
    renewal = f"{internal(gateway)}/renewal"
    answer = await http.post(renewal, content=statement)
    assert answer.status_code == 200, answer.text
    renewed = answer.json()["statement"]
    assert (
        await call(f"{inside(gateway, 'echo-stateless')}/mcp", {"X-Gateway-Identity": renewed})
    ).status_code == 200
    form = {"token": access.tokens["refresh_token"], "client_id": access.client_id}
    assert (await http.post(access.revocation_endpoint, data=form)).status_code == 200
    assert (await http.post(renewal, content=renewed)).status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        "/verify",
        "/token",
        "/authorize",
        "/metrics",
        "/health",
        "/jwks",
        "/.well-known/x",
        "/echo-stateful/mcp",
        "/",
    ],
)
async def test_the_internal_entry_point_leads_nowhere_else(
    gateway: Gateway, http: httpx.AsyncClient, path: str
) -> None:
    base = internal(gateway).removesuffix("/internal/identity")
    host = {"Host": gateway.issuer.partition("://")[2]}
    for method in ("GET", "POST"):
        answer = await http.request(method, base + path, headers=host)
        assert (answer.status_code, answer.text) == (404, "404 page not found\n")
    assert (await http.get(f"{base}/internal/identity/keys")).json()["issuer"] == gateway.issuer


@pytest.mark.parametrize("path", ["/internal/identity/keys", "/internal/identity/renewal", "/internal/mcp"])
async def test_what_is_internal_is_not_for_the_public(
    gateway: Gateway, http: httpx.AsyncClient, path: str
) -> None:
    for method in ("GET", "POST"):
        answer = await http.request(method, gateway.issuer + path)
        assert answer.status_code in (401, 404, 405), answer.text
        assert "keys" not in answer.text
        assert "statement" not in answer.text


@pytest.mark.parametrize(
    "name", ["X-Gateway-Identity", "X_Gateway_Identity", "x-gateway.identity", "X-GATEWAY-IDENTITY"]
)
async def test_a_client_cannot_send_a_statement_itself(gateway: Gateway, obtain: Obtain, name: str) -> None:
    """The edge drops it in every spelling; the gate's own is what arrives."""
    access = await obtain(gateway.server("echo-stateless"))
    answer = await call(access.resource, {**access.bearer, name: "forged"}, "authContext")
    assert answer.status_code == 200, answer.text
    assert answer.json()["result"]["structuredContent"]["user_id"].startswith("local:")
    assert "forged" not in answer.text


@pytest.mark.parametrize("server", ["echo-stateless", "echo-stateful"])
async def test_which_hop_finds_every_hop_well_but_plain_http(
    gateway: Gateway, obtain: Obtain, server: str
) -> None:
    access = await obtain(gateway.server(server))
    answer = await call(access.resource, access.bearer, "whichHop")
    told = answer.json()["result"]["structuredContent"]
    states = {hop["hop"]: hop["state"] for hop in told["hops"]}
    assert told["broken"] == []
    assert states.pop("client") in ("well", "unseen")
    assert states.pop("tls") == "warning", "a local run is plain http"
    assert set(states.values()) == {"well"}
    assert access.bearer["Authorization"].split(".")[-1] not in answer.text
