"""The official SDK's client, and access the long way, to the gateway's servers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import httpx
import pytest
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken
from pydantic import AnyUrl

from tests.access import Access, obtain_access
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


@pytest.fixture
def obtain(person: Person, callback: Callback, http: httpx.AsyncClient) -> Callable[[str], Awaitable[Access]]:
    """Get access to a server the long way, with nothing but HTTP and a browser."""
    return lambda resource: obtain_access(resource, person, callback, http)
