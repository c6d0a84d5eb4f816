"""The composition root: one FastAPI application with an endpoint per server."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp

from . import __version__
from ._common.http_spans import NOT_FASTAPIS
from .api_keys import ApiKeyGate
from .cors import Cors
from .endpoint import Endpoint
from .http_sse import MESSAGES, STREAM
from .metrics import CONTENT_TYPE
from .pages import add_pages
from .servers import DEFAULT_NAME, Servers
from .settings import Server, Settings
from .wire.http import Receive, Scope, Send


class ProxyApp(FastAPI):
    """A FastAPI application whose `/mcp` endpoints are plain ASGI.

    Inside another application: mount it, and enter `app.hub.running()` in that application's
    lifespan, because a mounted application's own lifespan is not run.
    """

    def __init__(self, hub: Servers, **options: Any) -> None:
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
        head, _, last = path.rpartition("/")
        if last != "mcp" and not (self.hub.settings.sse and last in (STREAM, MESSAGES)):
            return None
        if not head:
            return self.hub.combined or self.hub.endpoints.get(self.hub.root)
        return self.hub.endpoints.get(head[1:])


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
        single = Server(name=DEFAULT_NAME, alone=True, command=tuple(words), idle_timeout=session_timeout)
        servers = (single, *servers)
    hub = Servers(servers, settings or Settings())

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
        telemetry=NOT_FASTAPIS,
    )

    @app.get("/health")
    async def health() -> Response:
        """Healthy while at least one server can be used; starts nothing."""
        troubles = hub.troubles()
        if not troubles:
            return JSONResponse({"status": "healthy"})
        serving = any(name not in troubles for name in hub.endpoints)
        body: dict[str, object] = {"status": "degraded" if serving else "unhealthy"}
        if list(hub.endpoints) == [hub.root] and hub.root in troubles:
            body["reason"] = troubles[hub.root]
        else:
            body["servers"] = troubles
        return JSONResponse(body, 200 if serving else 503)

    @app.get("/{name}/health")
    async def server_health(request: Request) -> Response:
        name: str = request.path_params["name"]  # as an argument it costs an import of pydantic.v1
        trouble = hub.troubles().get(name)
        if trouble is not None:
            return JSONResponse({"status": "unhealthy", "reason": trouble}, 503)
        if name not in hub.endpoints:
            return JSONResponse({"status": "unknown", "reason": f"no server {name}"}, 404)
        return JSONResponse({"status": "healthy"})

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(hub.metrics.page(), media_type=CONTENT_TYPE)

    add_pages(app, hub)
    if hub.settings.identity_url and hub.settings.public_url:
        from ._common.card_publisher import CardPublisher
        from ._common.gateway_identity import GatewayIdentity
        from ._common.identity_gate import IdentityGate

        gateway = GatewayIdentity(hub.settings.identity_url)
        app.add_middleware(CardPublisher, gateway, hub.said_at)
        app.add_middleware(IdentityGate, gateway, hub.settings.public_url)
    if hub.settings.api_keys:
        app.add_middleware(ApiKeyGate, hub.settings.api_keys)
    if hub.replicas is not None:
        from ._common.replicas import Replicas
        from .replica_key import replica_key

        app.add_middleware(
            Replicas,
            hub.replicas,
            partial(replica_key, guard=hub.guard, by_key=bool(hub.settings.api_keys)),
            hub.settings.max_body,
            forwarder=hub.forwarder,
        )
    if hub.guard.readers:
        # Outside of the rest: preflights carry no key, and a page may read why it is refused.
        app.add_middleware(Cors, hub.guard.readers)
    app.router.default = _behind_middleware(app.router.default)
    return app


def _behind_middleware(not_found: ASGIApp) -> ASGIApp:
    """Where requests for an endpoint arrive after the middleware that was added to the app."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        await scope.get("mcp_endpoint", not_found)(scope, receive, send)

    return call
