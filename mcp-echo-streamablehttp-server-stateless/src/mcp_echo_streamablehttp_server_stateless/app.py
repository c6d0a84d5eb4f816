"""The composition root: a FastAPI app around the SDK's Streamable HTTP server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, JSONResponse
from mcp.server import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp

from . import __version__
from ._common.front_page import HEADERS, FrontPage
from ._common.guard import HostOriginGuard
from ._common.host_origin import Guard
from ._common.http_spans import NOT_FASTAPIS
from ._common.message_check import MessageCheck
from ._common.negotiated import Negotiated
from ._common.nowhere import name_endpoint
from ._common.post_only import PostOnly
from ._common.server_tools import digest
from ._common.telemetry import configure
from .call import Stamp
from .settings import Settings
from .toolbox import Tool, Toolbox
from .tools import TOOLS

NAME = "mcp-echo-streamablehttp-server-stateless"
TITLE = "Echo"
INSTRUCTIONS = (
    "Diagnostic tools: they show what of your request reached this server, and who the gateway says you are."
)
MAX_BODY = 1024 * 1024


def create_app(settings: Settings | None = None, tools: Sequence[Tool[Any]] = TOOLS) -> FastAPI:
    """The stateless server: every request stands alone, in both protocol eras.

    Raises SettingsError when the environment holds a value that cannot be used.
    """
    settings = settings or Settings.load()
    toolbox = Toolbox(tools, settings)
    server = toolbox.server(NAME, TITLE, __version__, INSTRUCTIONS)
    manager = StreamableHTTPSessionManager(server, stateless=True, max_request_body_size=MAX_BODY)
    return assemble(toolbox, server, manager.run, PostOnly(Negotiated(manager.asgi_app)), settings)


class UnreadyError(Exception):
    """The server cannot serve now; the message is the reason, for whoever probes."""


async def always() -> None:
    """Ready, since nothing is needed."""


def assemble(
    toolbox: Toolbox,
    server: Server[Any],
    running: Callable[[], AbstractAsyncContextManager[None]],
    endpoint: ASGIApp,
    settings: Settings,
    ready: Callable[[], Awaitable[None]] = always,
) -> FastAPI:
    """Put /mcp, and the page, health and metrics beside it, behind the Host and Origin checks.

    `ready` raises UnreadyError. Raises SettingsError when spans are asked for and cannot be sent.
    """
    configure(server.name)
    page = FrontPage(
        server.name,
        server.title or server.name,
        server.version or "",
        server.instructions or "",
        [(tool.name, tool.description) for tool in toolbox.tools.values()],
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with running():
            yield

    app = FastAPI(
        title=server.name,
        version=server.version,
        lifespan=lifespan,
        openapi_url=None,
        redirect_slashes=False,
        telemetry=NOT_FASTAPIS,
    )

    @app.api_route("/health", methods=["GET", "HEAD"])
    async def health() -> JSONResponse:
        try:
            await ready()
        except UnreadyError as error:
            return JSONResponse({"status": "unhealthy", "reason": str(error)}, 503)
        return JSONResponse({"status": "healthy"})

    def address(request: Request) -> str:
        return str(settings.public_url or request.url.replace(path="/mcp", query=""))

    @app.api_route("/", methods=["GET", "HEAD"])
    async def front(request: Request) -> HTMLResponse:
        return HTMLResponse(page.html(address(request)), headers=HEADERS)

    name_endpoint(app, address)

    app.router.routes.append(Route("/metrics", endpoint=toolbox.meters, methods=["GET", "HEAD"]))
    endpoint = MessageCheck(endpoint, MAX_BODY)
    app.router.routes += [Route(path, endpoint=endpoint) for path in ("/mcp", "/mcp/")]
    app.add_middleware(Stamp)
    if settings.identity_url and settings.public_url:
        from ._common.card_publisher import CardPublisher
        from ._common.gateway_identity import GatewayIdentity
        from ._common.identity_gate import IdentityGate

        gateway = GatewayIdentity(settings.identity_url)
        said = {
            "name": server.name, "title": server.title, "version": server.version,
            "description": server.description,
            "tools": digest(one.model_dump(by_alias=True) for one in toolbox.descriptions),
        }  # fmt: skip
        app.add_middleware(CardPublisher, gateway, lambda _: said)
        app.add_middleware(IdentityGate, gateway, settings.public_url)
    app.add_middleware(HostOriginGuard, Guard(settings.allowed_hosts, settings.allowed_origins))
    return app
