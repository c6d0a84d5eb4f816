"""State of a server in the stateless era: it lives between calls, for its user and nobody else."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx2
import pytest
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client

from tests.proxy_process import ProxyProcess, proxy_process
from tests.servers.conftest import Command

ENTITY = {"name": "Ada", "entityType": "person", "observations": ["writes programs"]}
As = Callable[[str], AbstractAsyncContextManager[Client]]


@pytest.fixture(scope="module")
def proxy(commands: dict[str, Command], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProxyProcess]:
    """server-memory keeps its graph in a file: each process gets one of its own."""
    folder = tmp_path_factory.mktemp("users")
    own_file = ("sh", "-c", 'MEMORY_FILE_PATH=$(mktemp -p "$0" --suffix=.jsonl) exec "$@"', str(folder))
    options = ("--trust-identity", "--isolation", "user")
    with proxy_process(folder / "proxy.log", *options, "--", *own_file, *commands["memory"]) as process:
        yield process


@pytest.fixture(params=["auto", "2026-07-28"])
def signed_in(request: pytest.FixtureRequest, proxy: ProxyProcess) -> As:
    """A client of the stateless era as the gateway would let it in."""

    @asynccontextmanager
    async def connect(user: str) -> AsyncIterator[Client]:
        async with httpx2.AsyncClient(headers={"X-User-Id": user}, timeout=60) as http:
            transport = streamable_http_client(f"{proxy.url}/mcp", http_client=http)
            async with Client(transport, mode=request.param) as client:
                yield client

    return connect


async def names(client: Client) -> list[str]:
    result = await client.call_tool("read_graph", {})
    return [entity["name"] for entity in json.loads(result.content[0].text)["entities"]]  # type: ignore[union-attr]


async def test_a_user_finds_it_again_and_another_does_not(
    signed_in: As, request: pytest.FixtureRequest
) -> None:
    ada, bob = (f"{name}-{request.node.callspec.id}" for name in ("ada", "bob"))
    async with signed_in(ada) as client:
        await client.call_tool("create_entities", {"entities": [ENTITY]})
        assert await names(client) == ["Ada"]
    async with signed_in(bob) as client:
        assert await names(client) == []
    async with signed_in(ada) as client:
        assert await names(client) == ["Ada"]
