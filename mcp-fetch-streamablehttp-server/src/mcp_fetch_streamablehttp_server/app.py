"""The composition root: a FastAPI app around the SDK's Streamable HTTP server and the fetch tool."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse
from starlette.routing import Route

from . import __version__
from ._common.front_page import HEADERS, FrontPage
from ._common.guard import HostOriginGuard
from ._common.host_origin import Guard
from ._common.http_spans import NOT_FASTAPIS
from ._common.message_check import MessageCheck
from ._common.negotiated import Negotiated
from ._common.nowhere import name_endpoint
from ._common.pinned_transport import PinnedTransport
from ._common.post_only import PostOnly
from ._common.server_tools import digest
from ._common.telemetry import configure
from .documents import Documents
from .fetch import Fetcher
from .policy import SitePolicy
from .robots import Robots
from .settings import Settings
from .tool import ABOUT, FetchTool
from .workers import Workers

NAME = "mcp-fetch-streamablehttp-server"
MAX_BODY = 1024 * 1024


def create_app(
    settings: Settings | None = None, transport: httpx.AsyncBaseTransport | None = None
) -> FastAPI:
    """Raises SettingsError when the environment holds a value that cannot be used."""
    settings = settings or Settings.load()
    policy = SitePolicy(
        settings.fetch_allowed_ports,
        settings.fetch_allow_hosts,
        settings.fetch_only_hosts,
        settings.fetch_deny_hosts,
        settings.fetch_private_networks,
        settings.fetch_deny_networks,
    )
    fetcher = Fetcher(
        policy,
        transport or PinnedTransport(policy, max_connections=settings.fetch_max_concurrent),
        max_redirects=settings.fetch_max_redirects,
        max_bytes=settings.fetch_max_bytes,
        seconds=settings.fetch_timeout,
        max_concurrent=settings.fetch_max_concurrent,
        cache_bytes=settings.fetch_cache_bytes,
        per_site=settings.fetch_per_site,
    )
    documents = Documents(Workers(settings.fetch_workers), settings.fetch_cache_bytes)
    user_agent = settings.fetch_default_user_agent
    robots = Robots(fetcher, user_agent) if settings.fetch_robots else None
    if robots is not None:
        fetcher.delay = robots.crawl_delay
    tool = FetchTool(fetcher, documents, robots, user_agent, allow_post=settings.fetch_allow_post)
    server = tool.server(NAME, __version__, settings.public_url.base if settings.public_url else None)
    page = FrontPage(NAME, "Fetch", __version__, ABOUT, [(tool.tool.name, tool.tool.description or "")])
    configure(NAME)
    manager = StreamableHTTPSessionManager(server, stateless=True, max_request_body_size=MAX_BODY)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with manager.run():
            yield
        await documents.aclose()
        await fetcher.aclose()

    app = FastAPI(
        title=NAME,
        version=__version__,
        lifespan=lifespan,
        openapi_url=None,
        redirect_slashes=False,
        telemetry=NOT_FASTAPIS,
    )

    @app.api_route("/health", methods=["GET", "HEAD"])
    async def health() -> JSONResponse:  # a model would have FastAPI import all of pydantic's version 1
        return JSONResponse({"status": "healthy"})

    def endpoint(request: Request) -> str:
        return str(settings.public_url or request.url.replace(path="/mcp", query=""))

    @app.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    async def front(request: Request) -> HTMLResponse:
        return HTMLResponse(page.html(endpoint(request)), headers=HEADERS)

    name_endpoint(app, endpoint)

    app.router.routes.append(Route("/metrics", endpoint=tool.meters, methods=["GET", "HEAD"]))
    served = PostOnly(MessageCheck(Negotiated(manager.asgi_app), MAX_BODY))
    app.router.routes += [Route(path, endpoint=served) for path in ("/mcp", "/mcp/")]
    if settings.identity_url and settings.public_url:
        from ._common.card_publisher import CardPublisher
        from ._common.gateway_identity import GatewayIdentity
        from ._common.identity_gate import IdentityGate

        gateway = GatewayIdentity(settings.identity_url)
        said = {
            "name": NAME, "title": "Fetch", "version": __version__, "description": ABOUT,
            "tools": digest([tool.tool.model_dump(by_alias=True)]),
        }  # fmt: skip
        app.add_middleware(CardPublisher, gateway, lambda _: said)
        app.add_middleware(IdentityGate, gateway, settings.public_url)
    app.add_middleware(HostOriginGuard, Guard(settings.allowed_hosts, settings.allowed_origins))
    return app
