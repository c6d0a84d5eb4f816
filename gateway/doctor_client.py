"""What the doctor sees as a client: challenge, metadata, a token of its own, a call to each server, and that
a token opens no other server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from mcp_oauth_dynamicclient.operator_token import Pass
from mcp_streamablehttp_client._common import hop_checks as check
from mcp_streamablehttp_client._common import hop_checks_oauth as oauth
from mcp_streamablehttp_client._common.hop import Bearer, Reply, Verdict, unseen, well, wrong

from .doctor_ask import SECONDS, Asks, said_of
from .doctor_troubles import trouble

PURPOSE = "doctor"
_INITIALIZE: dict[str, Any] = {
    "jsonrpc": "2.0", "id": 1, "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25", "capabilities": {},
        "clientInfo": {"name": "gateway-doctor", "version": "1"},
    },
}  # fmt: skip
_TOOLS = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
_READY = {"jsonrpc": "2.0", "method": "notifications/initialized"}


@dataclass(frozen=True)
class Known:
    """A server, as the run knows it."""

    url: str
    ill: str = ""
    """What its own health check says, unless that is healthy."""
    command: str = ""


Passes = Mapping[str, Pass]
"""By the server's name."""


async def check_servers(
    client: Asks, issuer: str, servers: Mapping[str, Known], passes: Passes
) -> AsyncIterator[Verdict]:
    """Each server, by name."""
    looks = (
        check_server(client, name, server, passes[name].token, issuer) for name, server in servers.items()
    )
    for verdict in await asyncio.gather(*looks):
        yield verdict
    async for verdict in _audience(client, servers, passes):
        yield verdict


async def check_server(client: Asks, name: str, server: Known, token: str, issuer: str) -> Verdict:
    """The first thing that is wrong with it, else how many tools it has."""
    url = server.url
    try:
        refusal = await client.ask("POST", url, json=_INITIALIZE)
        verdict = oauth.check_gated(url, refusal)
        if verdict.state == "well":
            bearer = Bearer.of(refusal.headers.get("www-authenticate"))
            where = bearer.parameters["resource_metadata"] if bearer else ""
            verdict = oauth.check_resource_metadata(url, where, await client.ask("GET", where))
        if verdict.state != "well":
            return verdict
        verdict = oauth.check_audience(token, url, issuer, time.time())
        if verdict.state == "wrong":
            return verdict
        return await call(client, name, server, token, "challenge, metadata, token")
    except (httpx.HTTPError, TimeoutError) as problem:
        return trouble("server", f"{name} gave no answer within {SECONDS:.0f} s", said_of(problem), name=name)


async def call(client: Asks, name: str, server: Known, token: str, way: str) -> Verdict:
    """Initialize and the list of tools, of a server that was reached by some way. Raises as `ask` does."""
    url = server.url
    opened = await client.ask("POST", url, token, json=_INITIALIZE)
    handshake = check.check_handshake(opened, has_token=True)
    if check.refuses_the_handshake(opened):
        return well("server", f"{name}: {way}; it speaks the modern era only")
    if handshake.state != "well":
        return _server_trouble(name, server, handshake, opened)
    version = str((opened.message or {})["result"]["protocolVersion"])
    headers = {"MCP-Protocol-Version": version}
    session = opened.headers.get("mcp-session-id")
    if session:
        headers["Mcp-Session-Id"] = session
    await client.ask("POST", url, token, json=_READY, headers=headers)
    listed = await client.ask("POST", url, token, json=_TOOLS, headers=headers)
    if session:
        await client.ask("DELETE", url, token, headers=headers)
    result = (listed.message or {}).get("result")
    tools = result.get("tools") if isinstance(result, dict) else None
    has_tools = "tools" in (opened.message or {})["result"]["capabilities"]
    if has_tools and not isinstance(tools, list):
        return trouble("server", f"{name} does not list its tools ({listed.line})", listed.said, name=name)
    return well("server", f"{name}: {way}, initialize, {len(tools or ())} tools")


def _server_trouble(name: str, server: Known, verdict: Verdict, reply: Reply) -> Verdict:
    """By what it says of itself, or else to the request."""
    if verdict.hop == "audience":
        return verdict
    said = server.ill if reply.status == 503 and server.ill else reply.said
    return unwell(name, server, verdict.what, said)


def unwell(name: str, server: Known, what: str, said: str) -> Verdict:
    """A server that says why it does not serve, itself or the proxy before it."""
    if any(word in said for word in ("not installed", "not executable", "No such file")):
        return trouble("server missing", f"the program of {name} is not there", said, name=name)
    if "exited with" in said or "ended" in said:
        command = server.command or "the command of its entry"
        return trouble("server exits", f"{name} ends at once", said, name=name, command=command)
    return trouble("server", f"{name}: {what}", said, name=name)


async def _audience(client: Asks, servers: Mapping[str, Known], passes: Passes) -> AsyncIterator[Verdict]:
    """That a token opens no other server, and that a forged one opens none."""
    names = list(servers)
    if len(names) < 2:
        yield unseen("audience", "there is one server only")
        return
    first, second = names[:2]
    url = servers[second].url
    head, _, signature = passes[second].token.rpartition(".")
    try:
        other = await client.ask("POST", url, passes[first].token, json=_INITIALIZE)
        forged = await client.ask("POST", url, f"{head}.{signature[::-1]}", json=_INITIALIZE)
    except (httpx.HTTPError, TimeoutError) as problem:
        rule, cure = "RFC 6750 §3.1", "./justw logs auth"
        yield wrong("audience", "the gate does not answer", rule, cure, said_of(problem))
        return
    if other.status < 300:
        yield trouble("audience open", f"a token for {first} opens {second}")
    elif other.status == 401:
        yield well("audience", f"a token for {first} is refused at {second}")
    yield oauth.check_invented_token(forged)
