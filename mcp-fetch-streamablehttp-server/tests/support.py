"""What the fixtures of this package are: a site on loopback, and a network that only keeps notes."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any

import httpcore
import uvicorn
from mcp import Client
from mcp_fetch_streamablehttp_server._common.serving import listen, server
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

Json = dict[str, Any]
"""An object of JSON."""
Start = Callable[..., str]
"""Takes settings."""
Connect = Callable[[str, str], AbstractAsyncContextManager[Client]]
"""Takes an address and the mode of the SDK's client."""
Handler = Callable[[Request], Awaitable[Response]]


@contextmanager
def running(app: ASGIApp, make: Callable[[ASGIApp], uvicorn.Server] | None = None) -> Iterator[str]:
    with listen("127.0.0.1", 0) as listener:
        served = make(app) if make else server(app, grace=5, http="h11", log_level="error")
        thread = threading.Thread(target=served.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            served.should_exit = True
            thread.join(60)
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
    app.router.add_route("/{path:path}", site.answer, methods=["GET", "HEAD", "POST"])

    def make(app: ASGIApp) -> uvicorn.Server:
        return uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=0, **tls))

    with running(app, make) as url:
        site.url = url
        yield site


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
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        self.connected.append((host, port))
        raise httpcore.ConnectError("this network goes nowhere")


StartSite = Callable[..., Site]
"""Takes settings of uvicorn."""
