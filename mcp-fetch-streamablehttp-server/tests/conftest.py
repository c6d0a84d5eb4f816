"""A site to fetch from and a server to fetch with, both on loopback; and a network that only keeps notes."""

import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, contextmanager
from typing import Any

import httpcore
import httpx
import httpx2
import pytest
import uvicorn
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_fetch_streamablehttp_server import Settings, create_app
from mcp_fetch_streamablehttp_server.serve import configure, listen
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

Start = Callable[..., str]
Connect = Callable[..., AbstractAsyncContextManager[Client]]
Handler = Callable[[Request], Awaitable[Response]]


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in Settings.model_fields:
        monkeypatch.delenv(f"MCP_{field.upper()}", raising=False)


@contextmanager
def running(app: ASGIApp, make: Callable[[ASGIApp, str], uvicorn.Server] = configure) -> Iterator[str]:
    with listen("127.0.0.1", 0) as listener:
        server = make(app, "error")
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()


class Site:
    """Answers by path, and remembers each request as (method, path with query, headers, body)."""

    def __init__(self) -> None:
        self.url = ""
        self.pages: dict[str, Response | Handler] = {}
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []

    @property
    def authority(self) -> str:
        return self.url.removeprefix("http://")

    @property
    def paths(self) -> list[str]:
        return [path for _, path, _, _ in self.seen]

    async def answer(self, request: Request) -> Response:
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        self.seen.append((request.method, path, dict(request.headers), await request.body()))
        page = self.pages.get(request.url.path)
        if page is None:
            return Response("nothing here", 404, media_type="text/plain")
        return page if isinstance(page, Response) else await page(request)


@contextmanager
def a_site(**tls: Any) -> Iterator[Site]:
    site = Site()
    app = Starlette()
    app.router.add_route("/{path:path}", site.answer, methods=["GET", "POST"])

    def make(app: ASGIApp, log_level: str) -> uvicorn.Server:
        return uvicorn.Server(uvicorn.Config(app, log_level=log_level, timeout_graceful_shutdown=0, **tls))

    with running(app, make) as url:
        site.url = url
        yield site


@pytest.fixture
def site() -> Iterator[Site]:
    with a_site() as made:
        yield made


@pytest.fixture
def start_site() -> Iterator[Callable[..., Site]]:
    """Start another site, with the given uvicorn settings."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(a_site(**settings))


class Network(httpcore.AsyncNetworkBackend):
    """Resolves from a table and connects nowhere: it notes what it was asked."""

    def __init__(self, **names: list[str]) -> None:
        self.names = {name.replace("_", "."): addresses for name, addresses in names.items()}
        self.resolved: list[str] = []
        self.connected: list[tuple[str, int]] = []

    async def resolve(self, host: str, port: int) -> list[str]:
        self.resolved.append(host)
        return self.names.get(host, [])

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        self.connected.append((host, port))
        raise httpcore.ConnectError("this network goes nowhere")


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
    async def connected(url: str, mode: Any) -> AsyncIterator[Client]:
        async with (
            httpx2.AsyncClient(trust_env=False) as http,
            Client(streamable_http_client(f"{url}/mcp", http_client=http), mode=mode) as client,
        ):
            yield client

    return connected


@pytest.fixture
def browser() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, timeout=10) as client:
        yield client
