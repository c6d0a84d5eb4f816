"""The composition root: a FastAPI app around the SDK's Streamable HTTP server and the fetch tool."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from .addresses import AddressPolicy
from .fetch import Fetcher
from .robots import Robots
from .security import HostOriginGuard, refuse
from .settings import Settings
from .tool import FetchTool
from .transport import PinnedTransport
from .version import __version__

NAME = "mcp-fetch-streamablehttp-server"
MAX_BODY = 1024 * 1024


def create_app(
    settings: Settings | None = None, transport: httpx.AsyncBaseTransport | None = None
) -> FastAPI:
    """Raises SettingsError when the environment holds a value that cannot be used."""
    settings = settings or Settings.load()
    policy = AddressPolicy(settings.fetch_allowed_ports, settings.fetch_allow_hosts)
    fetcher = Fetcher(
        policy,
        transport or PinnedTransport(policy, max_connections=settings.fetch_max_concurrent),
        max_redirects=settings.fetch_max_redirects,
        max_bytes=settings.fetch_max_bytes,
        seconds=settings.fetch_timeout,
        max_concurrent=settings.fetch_max_concurrent,
    )
    user_agent = settings.fetch_default_user_agent
    robots = Robots(fetcher, user_agent) if settings.fetch_robots else None
    server = FetchTool(fetcher, robots, user_agent).server(NAME, __version__)
    manager = StreamableHTTPSessionManager(server, stateless=True, max_request_body_size=MAX_BODY)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with manager.run():
            yield
        await fetcher.aclose()

    app = FastAPI(
        title=NAME, version=__version__, lifespan=lifespan, openapi_url=None, redirect_slashes=False
    )

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "healthy"}

    app.router.routes.append(Route("/mcp", endpoint=PostOnly(manager.asgi_app)))
    app.add_middleware(HostOriginGuard, hosts=settings.allowed_hosts, origins=settings.allowed_origins)
    return app


class PostOnly:
    """Without sessions there is no GET stream to open and nothing to DELETE: 405."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "POST":
            await self.app(scope, receive, send)
        else:
            await refuse(send, 405, "This server has no sessions; send POST.", ((b"allow", b"POST"),))
