"""What the fixtures of this package are: a clock, an application, a redis-server."""

from __future__ import annotations

import asyncio
import secrets
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from mcp_oauth_dynamicclient.app import Gateway
from mcp_oauth_dynamicclient.context import Context
from mcp_oauth_dynamicclient.records import Grant, Identity
from mcp_oauth_dynamicclient.store.sqlite import SqliteStore
from starlette.routing import BaseRoute, Route

ADA = Identity(provider="local", subject="ada", login="ada", name="Ada Lovelace")
SAFE_HEADERS = (
    "content-security-policy", "x-content-type-options", "x-frame-options", "referrer-policy",
    "cache-control",
)  # fmt: skip
"""What no answer to a client goes without."""
SECRET = "0123456789abcdef-test-secret-fedcba9876543210"


class Clock:
    """Time that moves only when told to."""

    def __init__(self, start: float) -> None:
        self.time = start

    def __call__(self) -> float:
        return self.time

    def advance(self, seconds: float) -> None:
        self.time += seconds


class Interleaving(SqliteStore):
    """Lets other tasks run before each operation, as a store over a network does: races are raced."""

    async def _run(self, *args: Any, **options: Any) -> Any:
        await asyncio.sleep(0)
        return await super()._run(*args, **options)


def _flat(routes: Iterable[BaseRoute]) -> Iterator[Route]:
    for route in routes:
        if isinstance(route, Route):
            yield route
        else:  # FastAPI keeps included routers as they are
            yield from _flat(route.original_router.routes)  # type: ignore[attr-defined]


@dataclass
class App:
    """The whole application over the test's store, and a client that speaks to it as the edge does."""

    gateway: Gateway
    http: httpx.AsyncClient

    @property
    def ctx(self) -> Context:
        return self.gateway.ctx

    def routes(self) -> list[Route]:
        """Every route, of all routers."""
        return list(_flat(self.gateway.routes))

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
        """Ask /verify about a request, as Traefik does. Refusals, which clients get, have safe headers."""
        scheme, _, rest = url.partition("://")
        host, slash, path = rest.partition("/")
        sent = {
            "X-Forwarded-Method": method, "X-Forwarded-Proto": scheme, "X-Forwarded-Host": host,
            "X-Forwarded-Uri": slash + path, "X-Forwarded-For": "192.0.2.7", "Accept": "application/json",
        }  # fmt: skip
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        response = await self.http.get("/verify", headers=sent)
        if response.status_code != 200:
            assert set(SAFE_HEADERS) <= set(response.headers), response.headers
        return response


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
        deadline = time.monotonic() + 60
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
            self._process.wait(60)
            self._process = None


MakeApp = Callable[..., Awaitable[App]]
"""Takes settings."""
