"""A site to fetch from and a server to fetch with, both on loopback; and a network that only keeps notes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import httpx
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_fetch_streamablehttp_server import Settings, create_app

from .support import Connect, Network, Site, Start, StartSite, a_site, running


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in Settings.model_fields:
        monkeypatch.delenv(f"MCP_{field.upper()}", raising=False)


@pytest.fixture
def site() -> Iterator[Site]:
    with a_site() as made:
        yield made


@pytest.fixture
def start_site() -> Iterator[StartSite]:
    """Start another site, with the given uvicorn settings."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(a_site(**settings))


@pytest.fixture
def network() -> type[Network]:
    return Network


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a server with the given settings; the answer is its address."""
    with ExitStack() as stack:

        def started(transport: httpx.AsyncBaseTransport | None = None, **settings: Any) -> str:
            return stack.enter_context(running(create_app(Settings.load(**settings), transport)))

        yield started


@pytest.fixture
def connect() -> Connect:
    @asynccontextmanager
    async def connected(url: str, mode: str) -> AsyncIterator[Client]:
        async with (
            httpx2.AsyncClient(trust_env=False, timeout=60) as http,
            Client(streamable_http_client(f"{url}/mcp", http_client=http), mode=mode) as client,
        ):
            yield client

    return connected


@pytest.fixture
def browser() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, timeout=60) as client:
        yield client
