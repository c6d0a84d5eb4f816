"""A real server on a loopback port, and the SDK's own client to drive it in either era."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, contextmanager
from typing import Any

import httpx
import httpx2
import pytest
from fastapi import FastAPI
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_echo_streamablehttp_server_stateless import Settings, create_app
from mcp_echo_streamablehttp_server_stateless._common.serving import listen, server

Start = Callable[..., str]
Connect = Callable[..., AbstractAsyncContextManager[Client]]


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*Settings.old_names, *(f"MCP_{field.upper()}" for field in Settings.model_fields)):
        monkeypatch.delenv(name, raising=False)


@contextmanager
def running(app: FastAPI) -> Iterator[str]:
    with listen("127.0.0.1", 0) as listener:
        served = server(app, grace=5, http="h11", log_level="error")
        thread = threading.Thread(target=served.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            served.should_exit = True
            thread.join(60)
            assert not thread.is_alive()


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a server with the given settings; the answer is its address."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(running(create_app(Settings.load(**settings))))


@pytest.fixture
def connect() -> Connect:
    @asynccontextmanager
    async def connected(url: str, mode: Any, headers: dict[str, str] | None = None) -> AsyncIterator[Client]:
        async with (
            httpx2.AsyncClient(headers=headers, trust_env=False, timeout=60) as http,
            Client(streamable_http_client(f"{url}/mcp", http_client=http), mode=mode) as client,
        ):
            yield client

    return connected


@pytest.fixture
def browser() -> Iterator[httpx.Client]:
    """Plain HTTP, for status codes and attacks."""
    with httpx.Client(trust_env=False, timeout=60) as client:
        yield client
