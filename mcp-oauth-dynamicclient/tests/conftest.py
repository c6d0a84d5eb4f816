"""Shared by the whole package: settings of both address shapes, a real store, a real redis-server."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from mcp_oauth_dynamicclient.settings import Settings, load_settings
from mcp_oauth_dynamicclient.store import Store
from mcp_oauth_dynamicclient.store.sqlite import SqliteStore

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
    store = SqliteStore(":memory:", now=clock)
    yield store
    await store.close()


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
