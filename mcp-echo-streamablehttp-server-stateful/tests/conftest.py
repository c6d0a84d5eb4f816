"""A real server on a loopback port, and the SDK's own client to drive it in either era."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
from fastapi import FastAPI
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_echo_streamablehttp_server_stateful import Settings, create_app
from mcp_echo_streamablehttp_server_stateless._common.serving import listen, server
from redis import Redis
from redis.exceptions import ConnectionError as NotYet

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
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a server with the given settings, which keeps its state in a file; the answer is its address."""
    state = f"sqlite:///{tmp_path / 'echo.db'}"
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(
            running(create_app(Settings.load(**{"echo_state_url": state, **settings})))
        )


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


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis that knows a user who sees only the keys of this server."""
    program = shutil.which("redis-server")
    assert program, "these tests need redis-server"
    place = tmp_path_factory.mktemp("redis")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    rules = (
        "on",
        ">state",
        "~echo:*",
        "resetchannels",
        "-@all",
        "+@read",
        "+@write",
        "+@scripting",
        "+@connection",
        "-@dangerous",
    )
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(place), "--save", ""]
    process = subprocess.Popen([*command, "--user", "echo", *rules], stdout=subprocess.DEVNULL)
    try:
        with Redis(port=port) as client:
            for _ in range(200):
                try:
                    client.ping()
                    break
                except NotYet:
                    time.sleep(0.05)
            client.set("auth:secret", "not for echo")
        yield f"redis://echo:state@127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait(60)
