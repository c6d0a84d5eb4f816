"""Access to the gateway's servers as a client gets it: discovered, registered, consented, exchanged."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken
from pydantic import AnyUrl

from tests.conftest import Callback, Person


@dataclass
class Storage:
    """What an SDK client keeps between connections."""

    tokens: OAuthToken | None = None
    client: OAuthClientInformationFull | None = None
    authorizations: list[str] = field(default_factory=list)
    """Every authorization URL that was opened."""

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


@pytest.fixture
def storage() -> Storage:
    return Storage()


@pytest.fixture
def sdk_auth(person: Person, callback: Callback, storage: Storage) -> Callable[[str], OAuthClientProvider]:
    """The official SDK's OAuth provider, knowing nothing but a server's URL."""

    def make(server_url: str) -> OAuthClientProvider:
        async def redirect(url: str) -> None:
            storage.authorizations.append(url)
            await person.approve(url)

        async def result() -> AuthorizationCodeResult:
            answer = await callback.answer()
            return AuthorizationCodeResult(
                code=answer["code"], state=answer.get("state"), iss=answer.get("iss")
            )

        return OAuthClientProvider(
            server_url,
            OAuthClientMetadata(
                client_name="SDK test client",
                redirect_uris=[AnyUrl(callback.uri)],
                grant_types=["authorization_code", "refresh_token"],
                token_endpoint_auth_method="none",
            ),
            storage,
            redirect_handler=redirect,
            callback_handler=result,
        )

    return make


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


@pytest.fixture
def obtain(person: Person, callback: Callback, http: httpx.AsyncClient) -> Callable[[str], Awaitable[Access]]:
    """Get access to a server the long way, with nothing but HTTP and a browser."""

    async def obtain_access(resource: str) -> Access:
        challenge = (await http.post(resource, json={})).headers["www-authenticate"]
        metadata_url = challenge.split('resource_metadata="')[1].split('"')[0]
        protected = (await http.get(metadata_url)).json()
        assert protected["resource"] == resource
        issuer = protected["authorization_servers"][0]
        server = (await http.get(f"{issuer}/.well-known/oauth-authorization-server")).json()
        client = await http.post(
            server["registration_endpoint"],
            json={
                "client_name": "Plain test client",
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
        return Access(
            resource, client_id, server["token_endpoint"], server["revocation_endpoint"], tokens.json()
        )

    return obtain_access
