"""The official SDK's client connects to every server, knowing only its URL."""

from __future__ import annotations

from collections.abc import Callable

import httpx2
import pytest
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client

from tests.conftest import Gateway
from tests.e2e.conftest import Storage

MakeAuth = Callable[[str], OAuthClientProvider]


def connect(url: str, http: httpx2.AsyncClient, mode: str) -> Client:
    return Client(streamable_http_client(url, http_client=http), mode=mode)


@pytest.mark.browser
@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_an_unmodified_stdio_server_is_reached_from_its_url_alone(
    gateway: Gateway, sdk_auth: MakeAuth, storage: Storage, mode: str
) -> None:
    url = gateway.server("time")
    async with httpx2.AsyncClient(auth=sdk_auth(url), timeout=60) as http, connect(url, http, mode) as client:
        tools = await client.list_tools()
        assert "get_current_time" in [tool.name for tool in tools.tools]
        result = await client.call_tool("get_current_time", {"timezone": "UTC"})
        assert "UTC" in str(result.content)
    assert len(storage.authorizations) == 1
    assert (
        f"resource={gateway.server('time').replace(':', '%3A').replace('/', '%2F')}"
        in storage.authorizations[0]
    )
    assert "code_challenge_method=S256" in storage.authorizations[0]


@pytest.mark.browser
@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
@pytest.mark.parametrize("name", ["echo-stateless", "echo-stateful", "fetch"])
async def test_a_native_server_is_reached_in_both_eras(
    gateway: Gateway, sdk_auth: MakeAuth, name: str, mode: str
) -> None:
    url = gateway.server(name)
    async with httpx2.AsyncClient(auth=sdk_auth(url), timeout=60) as http, connect(url, http, mode) as client:
        tools = {tool.name for tool in (await client.list_tools()).tools}
        if name == "fetch":
            assert tools == {"fetch"}
        else:
            result = await client.call_tool("echo", {"message": "through the gateway"})
            assert "through the gateway" in str(result.content)


@pytest.mark.browser
async def test_a_lost_access_token_is_refreshed_without_the_person(
    gateway: Gateway, sdk_auth: MakeAuth, storage: Storage
) -> None:
    url = gateway.server("echo-stateless")
    async with httpx2.AsyncClient(auth=sdk_auth(url), timeout=60) as http, connect(url, http, "legacy"):
        pass
    first = storage.tokens
    assert first is not None
    assert first.refresh_token
    # As after the access token's hour: the client knows only that it has run out.
    storage.tokens = first.model_copy(update={"access_token": "expired", "expires_in": 0})
    auth = sdk_auth(url)
    async with httpx2.AsyncClient(auth=auth, timeout=60) as http:
        await auth._initialize()
        auth.context.token_expiry_time = 1.0
        async with connect(url, http, "legacy") as client:
            assert (await client.list_tools()).tools
    assert len(storage.authorizations) == 1
    assert storage.tokens.refresh_token != first.refresh_token
