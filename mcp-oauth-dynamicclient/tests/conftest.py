"""Shared by the whole package: settings of both address shapes, a real store, a real redis-server."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from mcp_oauth_dynamicclient.app import Gateway, create_app
from mcp_oauth_dynamicclient.context import Context
from mcp_oauth_dynamicclient.keys import new_private_key
from mcp_oauth_dynamicclient.records import Account, Grant, Identity
from mcp_oauth_dynamicclient.settings import Settings, load_settings
from mcp_oauth_dynamicclient.store import Store
from mcp_oauth_dynamicclient.store.sqlite import SqliteStore

ADA = Identity(provider="local", subject="ada", login="ada", name="Ada Lovelace")
SECRET = "0123456789abcdef-test-secret-fedcba9876543210"


class Clock:
    """Time that moves only when told to."""

    def __init__(self, start: float) -> None:
        self.time = start

    def __call__(self) -> float:
        return self.time

    def advance(self, seconds: float) -> None:
        self.time += seconds


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


class Interleaving(SqliteStore):
    """Lets other tasks run before each operation, as a store over a network does: races are raced."""

    async def _run(self, *args: Any, **options: Any) -> Any:
        await asyncio.sleep(0)
        return await super()._run(*args, **options)


@pytest.fixture
async def store(clock: Clock) -> AsyncIterator[Store]:
    store = Interleaving(":memory:", now=clock)
    yield store
    await store.close()


@dataclass
class App:
    """The whole application over the test's store, and a client that speaks to it as the edge does."""

    gateway: Gateway
    http: httpx.AsyncClient

    @property
    def ctx(self) -> Context:
        return self.gateway.ctx

    async def grant(self, *, resource: str | None = "http://localhost:8080/time/mcp", **values: Any) -> Grant:
        """A stored grant of Ada's, for the client `client_1`, unless told otherwise."""
        given: dict[str, Any] = {
            "grant_id": secrets.token_urlsafe(8), "client_id": "client_1", "client_name": "Client",
            "identity": ADA, "resource": resource, "scope": "mcp",
            "created_at": self.ctx.now(), "last_used_at": self.ctx.now(),
        }  # fmt: skip
        grant = Grant.model_validate(given | values)
        owners = [f"client:{grant.client_id}"]
        await self.ctx.store.put("grant", grant.grant_id, grant.model_dump(), owners=owners)
        return grant

    async def token(self, grant: Grant | None = None, **values: Any) -> str:
        grant = grant or await self.grant(**values)
        token, _ = await self.ctx.tokens.issue_access(grant, resource=grant.resource, scope=grant.scope)
        return token

    async def forward(
        self, url: str, token: str | None = None, method: str = "POST", **headers: str
    ) -> httpx.Response:
        """Ask /verify about a request, as Traefik does."""
        scheme, _, rest = url.partition("://")
        host, slash, path = rest.partition("/")
        sent = {
            "X-Forwarded-Method": method, "X-Forwarded-Proto": scheme, "X-Forwarded-Host": host,
            "X-Forwarded-Uri": slash + path, "X-Forwarded-For": "192.0.2.7", "Accept": "application/json",
        }  # fmt: skip
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.get("/verify", headers=sent)


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


class RedisServer:
    """A real redis-server on a free loopback port; `stop` and `start` keep its data."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        self._process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._directory),
             "--appendonly", "yes", "--appendfsync", "always", "--save", "", "--daemonize", "no"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    probe.sendall(b"PING\r\n")
                    if probe.recv(64).startswith(b"+PONG"):
                        return
            if self._process.poll() is not None:
                break
            time.sleep(0.02)
        raise RuntimeError("redis-server did not start")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None


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
