"""Access to a server as a client gets it: discovered, registered, consented, exchanged."""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass
from typing import Any, Protocol

import httpx

from tests.conftest import Callback, listen_for_callback

MODERN = "2026-07-28"


@dataclass
class Access:
    """Tokens for one server, and the client they were issued to."""

    resource: str
    client_id: str
    token_endpoint: str
    revocation_endpoint: str
    tokens: dict[str, Any]

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens['access_token']}"}


class Approving(Protocol):
    """Whoever opens an authorization URL and approves what is shown there."""

    async def approve(self, url: str) -> None: ...

    async def arrive(self, callback: str) -> None:
        """Until the redirect has led to the client."""


async def sign_in(resource: str, person: Approving) -> Access:
    """Access of a client that has its own connections, and listens for its own callback."""
    async with listen_for_callback() as callback, httpx.AsyncClient(timeout=60, trust_env=False) as http:
        return await obtain_access(resource, person, callback, http)


async def obtain_access(
    resource: str,
    person: Approving,
    callback: Callback,
    http: httpx.AsyncClient,
    name: str = "Plain test client",
) -> Access:
    """The long way, with nothing but HTTP and somebody who approves."""
    challenge = (await http.post(resource, json={})).headers["www-authenticate"]
    metadata_url = challenge.split('resource_metadata="')[1].split('"')[0]
    protected = (await http.get(metadata_url)).json()
    assert protected["resource"] == resource
    issuer = protected["authorization_servers"][0]
    server = (await http.get(f"{issuer}/.well-known/oauth-authorization-server")).json()
    client = await http.post(
        server["registration_endpoint"],
        json={
            "client_name": name,
            "redirect_uris": [callback.uri],
            "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code", "refresh_token"],
            "application_type": "native",
        },
    )
    assert client.status_code == 201, client.text
    client_id = client.json()["client_id"]
    verifier = secrets.token_urlsafe(48)
    digest = hashlib.sha256(verifier.encode()).digest()
    state = secrets.token_urlsafe()
    query = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": callback.uri,
        "state": state,
        "scope": "mcp offline_access",
        "resource": resource,
        "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
    }
    await person.approve(str(httpx.URL(server["authorization_endpoint"], params=query)))
    answer = await callback.answer()
    await person.arrive(callback.uri)
    assert answer["state"] == state
    assert answer["iss"] == issuer
    tokens = await http.post(
        server["token_endpoint"],
        data={
            "grant_type": "authorization_code",
            "client_id": client_id,
            "code": answer["code"],
            "redirect_uri": callback.uri,
            "code_verifier": verifier,
            "resource": resource,
        },
    )
    assert tokens.status_code == 200, tokens.text
    assert tokens.headers["cache-control"] == "no-store"
    return Access(resource, client_id, server["token_endpoint"], server["revocation_endpoint"], tokens.json())


async def list_tools(access: Access, http: httpx.AsyncClient) -> None:
    """As a client of the stateless era. The server tells the gateway about itself when it has answered."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta}}
    headers = {"mcp-protocol-version": MODERN, "mcp-method": "tools/list"} | access.bearer
    answer = await http.post(access.resource, json=body, headers=headers)
    assert answer.status_code == 200, answer.text
