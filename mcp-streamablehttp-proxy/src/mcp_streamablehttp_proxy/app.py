"""The composition root: one FastAPI application with an endpoint per server."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import AsyncIterator, Sequence
from typing import Any

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp

from . import __version__
from .endpoint import Endpoint
from .http import Receive, Scope, Send
from .hub import Hub
from .metrics import CONTENT_TYPE
from .settings import Server, Settings

DEFAULT_NAME = "default"
"""Name of a single server given as a command; its endpoint is `/mcp`."""


class ProxyApp(FastAPI):
    """A FastAPI application whose `/mcp` endpoints are plain ASGI.

    Inside another application: mount it, and enter `app.hub.running()` in that application's
    lifespan, because a mounted application's own lifespan is not run.
    """

    def __init__(self, hub: Hub, **options: Any) -> None:
        super().__init__(**options)
        self.hub = hub

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            endpoint = self._endpoint(scope)
            if endpoint is not None:
                self.hub.start()
                if self.user_middleware and "mcp_endpoint" not in scope:
                    scope["mcp_endpoint"] = endpoint
                    await super().__call__(scope, receive, send)
                else:
                    await endpoint(scope, receive, send)
                return
        await super().__call__(scope, receive, send)

    def _endpoint(self, scope: Scope) -> Endpoint | None:
        path: str = scope["path"]
        root: str = scope.get("root_path", "")
        if root and path.startswith(root):
            path = path[len(root) :]
        if path.endswith("/"):
            path = path[:-1]
        if path == "/mcp":
            return self.hub.endpoints.get(DEFAULT_NAME)
        if path.endswith("/mcp"):
            return self.hub.endpoints.get(path[1:-4])
        return None


def create_app(
    server_command: str | Sequence[str] | None = None,
    session_timeout: float = 300.0,
    *,
    servers: Sequence[Server] = (),
    settings: Settings | None = None,
) -> ProxyApp:
    """The proxy for one command (at `/mcp`) or several named servers (each at `/NAME/mcp`).

    `session_timeout`: seconds until an idle session of `server_command` is closed.
    Raises SettingsError.
    """
    if server_command is not None:
        words = shlex.split(server_command) if isinstance(server_command, str) else server_command
        single = Server(name=DEFAULT_NAME, command=tuple(words), idle_timeout=session_timeout)
        servers = (single, *servers)
    hub = Hub(servers, settings or Settings())

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with hub.running():
            yield

    app = ProxyApp(
        hub,
        title="mcp-streamablehttp-proxy",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )

    @app.get("/health")
    async def health() -> Response:
        """Healthy while at least one server can be used; starts nothing."""
        troubles = hub.troubles()
        if not troubles:
            return JSONResponse({"status": "healthy"})
        serving = len(troubles) < len(hub.endpoints)
        body: dict[str, object] = {"status": "degraded" if serving else "unhealthy"}
        if list(hub.endpoints) == [DEFAULT_NAME]:
            body["reason"] = troubles[DEFAULT_NAME]
        else:
            body["servers"] = troubles
        return JSONResponse(body, 200 if serving else 503)

    @app.get("/{name}/health")
    async def server_health(name: str) -> Response:
        endpoint = hub.endpoints.get(name)
        if endpoint is None:
            return JSONResponse({"status": "unknown", "reason": f"no server {name}"}, 404)
        trouble = endpoint.pool.trouble
        if trouble is None:
            return JSONResponse({"status": "healthy"})
        return JSONResponse({"status": "unhealthy", "reason": trouble}, 503)

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(hub.metrics.page(), media_type=CONTENT_TYPE)

    app.router.default = _behind_middleware(app.router.default)
    return app


def _behind_middleware(not_found: ASGIApp) -> ASGIApp:
    """Where requests for an endpoint arrive after the middleware that was added to the app."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        await scope.get("mcp_endpoint", not_found)(scope, receive, send)

    return call
