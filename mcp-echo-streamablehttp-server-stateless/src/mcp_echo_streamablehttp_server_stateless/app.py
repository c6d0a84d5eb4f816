"""The composition root: a FastAPI app around the SDK's Streamable HTTP server."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from mcp.server import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from .call import Stamp
from .security import HostOriginGuard, refuse
from .settings import Settings
from .toolbox import Tool, Toolbox
from .tools import TOOLS
from .version import __version__

NAME = "mcp-echo-streamablehttp-server-stateless"
INSTRUCTIONS = (
    "Diagnostic tools: they show what of your request reached this server, and who the gateway says you are."
)
MAX_BODY = 1024 * 1024


def create_app(settings: Settings | None = None, tools: Sequence[Tool[Any]] = TOOLS) -> FastAPI:
    """The stateless server: every request stands alone, in both protocol eras.

    Raises SettingsError when the environment holds a value that cannot be used.
    """
    settings = settings or Settings.load()
    server = Toolbox(tools, settings).server(NAME, __version__, INSTRUCTIONS)
    manager = StreamableHTTPSessionManager(
        server, json_response=True, stateless=True, max_request_body_size=MAX_BODY
    )
    return assemble(server, manager, PostOnly(manager.asgi_app), settings)


def assemble(
    server: Server[Any], manager: StreamableHTTPSessionManager, endpoint: ASGIApp, settings: Settings
) -> FastAPI:
    """Put /mcp and /health behind the Host and Origin checks."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with manager.run():
            yield

    app = FastAPI(
        title=server.name,
        version=server.version,
        lifespan=lifespan,
        openapi_url=None,
        redirect_slashes=False,
    )

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "healthy"}

    app.router.routes.append(Route("/mcp", endpoint=endpoint))
    app.add_middleware(Stamp)
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
