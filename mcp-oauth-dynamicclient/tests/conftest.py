"""Shared by the whole package: settings of both address shapes, a real store, a real redis-server."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx
import pytest
from argon2 import PasswordHasher
from cryptography.hazmat.primitives.asymmetric import rsa
from mcp_oauth_dynamicclient.app import create_app
from mcp_oauth_dynamicclient.keys import new_private_key
from mcp_oauth_dynamicclient.login import local
from mcp_oauth_dynamicclient.records import Account
from mcp_oauth_dynamicclient.settings import Settings, load_settings
from mcp_oauth_dynamicclient.store import Store

from .support import SECRET, App, Clock, Interleaving, RedisServer


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="session")
def _some_keys() -> Iterator[rsa.RSAPrivateKey]:
    """Real keys, over and over: making them is most of what a test would do. No test needs more than ten."""
    return cycle([new_private_key() for _ in range(10)])


@pytest.fixture(autouse=True)
def _keys_at_hand(monkeypatch: pytest.MonkeyPatch, _some_keys: Iterator[rsa.RSAPrivateKey]) -> None:
    monkeypatch.setattr("mcp_oauth_dynamicclient.keys.new_private_key", lambda: next(_some_keys))


@pytest.fixture(autouse=True)
def _quick_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2 with little work: its slowness is most of what a sign-in takes."""
    quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(local, "_hasher", quick)
    monkeypatch.setattr(local, "_NOBODY", quick.hash("nobody has this password"))


@pytest.fixture
def clock() -> Clock:
    return Clock(time.time())


@pytest.fixture
def make_settings() -> Callable[..., Settings]:
    """One host at http://localhost:8080 with local accounts, unless told otherwise."""

    def make(**overrides: object) -> Settings:
        values: dict[str, object] = {
            "gateway_secret": SECRET,
            "local_accounts": True,
            "store_url": "sqlite:///:memory:",
        }
        if "base_domain" not in overrides:
            values["public_url"] = "http://localhost:8080"
        return load_settings(**(values | overrides))

    return make


@pytest.fixture
def settings(make_settings: Callable[..., Settings]) -> Settings:
    return make_settings()


@pytest.fixture
def subdomain_settings(make_settings: Callable[..., Settings]) -> Settings:
    return make_settings(base_domain="example.com")


@pytest.fixture
async def store(clock: Clock) -> AsyncIterator[Store]:
    store = Interleaving(":memory:", now=clock)
    yield store
    await store.close()


@pytest.fixture
async def make_app(
    make_settings: Callable[..., Settings], store: Store, clock: Clock, tmp_path: Path
) -> AsyncIterator[Callable[..., Awaitable[App]]]:
    """Applications over the test's store, with Ada's local account; a second one is another replica."""
    async with AsyncExitStack() as stack:

        async def make(**overrides: Any) -> App:
            settings = make_settings(**({"audit_log": str(tmp_path / "audit.log")} | overrides))
            gateway = create_app(settings, store=store, now=clock)
            stack.push_async_callback(gateway.aclose)
            account = Account(name="ada", password_hash="x", created_at=clock())
            await gateway.ctx.store.put("account", "ada", account.model_dump())
            transport = httpx.ASGITransport(gateway, raise_app_exceptions=False)
            http = httpx.AsyncClient(transport=transport, base_url=settings.issuer)
            return App(gateway, await stack.enter_async_context(http))

        yield make


@pytest.fixture
async def app(make_app: Callable[..., Awaitable[App]]) -> App:
    return await make_app()


@pytest.fixture(scope="session")
def redis_session() -> Iterator[RedisServer]:
    if shutil.which("redis-server") is None:
        if os.environ.get("CI"):
            pytest.fail("redis-server is not installed; CI must have it")
        pytest.skip("redis-server is not installed")
    with tempfile.TemporaryDirectory(prefix="redis-") as directory:
        server = RedisServer(Path(directory))
        server.start()
        yield server
        server.kill()


@pytest.fixture
def redis_server(redis_session: RedisServer) -> RedisServer:
    """The session's server, emptied; a test that kills it starts it again."""
    with socket.create_connection(("127.0.0.1", redis_session.port), timeout=5) as connection:
        connection.sendall(b"FLUSHALL\r\n")
        assert connection.recv(64).startswith(b"+OK")
    return redis_session
