"""The composition root: settings in, application out.

    app = create_app(Settings(...))          # or create_app(), with the settings of the environment
    other.mount("/", create_app(settings))   # in another FastAPI project

Nothing runs in the background and everything connects on first use, so a mounted application needs no start;
the mounting application calls `await app.aclose()` at its end, as the own lifespan does.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TextIO
from urllib.parse import quote

import httpx
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send

from . import __version__, authorize, login, pages
from ._common.http_spans import NOT_FASTAPIS
from .audit import Audit
from .bridge_wheel import Wheel
from .client_address import ClientAddress
from .clients import ClientRegistry
from .context import Context
from .cors import Cors, Origins
from .endpoints import (
    account,
    device_authorization,
    device_page,
    internal_identity,
    introspect,
    jwks,
    landing,
    metadata,
    register,
    revoke,
    server_cards,
    token,
    wheels,
)
from .endpoints.answers import broken
from .endpoints.asked import is_disguised, is_question, own_path
from .endpoints.at_servers import AtServers, prefers_html
from .endpoints.described import Health
from .endpoints.nowhere import nowhere_page
from .endpoints.verify import Verify
from .endpoints.verify import routes as verify_routes
from .errors import OAuth2Error
from .keys import KeyRing, StatementKeyRing
from .metrics import Metrics
from .middleware import BodyLimit, HeadIsGet, SecurityHeaders
from .outages import Outages
from .policy import Policy
from .resources import Resources
from .servers import open_servers
from .settings import Settings, load_settings
from .statements import Statements
from .store import Store, open_store
from .store.health import Health as StoreHealth
from .store.recent import RecentStore
from .tables import Tables
from .tokens import Tokens

log = logging.getLogger(__name__)

NOTHING = {"error": "invalid_request", "error_description": "There is nothing at this address."}


class Gateway(FastAPI):
    """An application whose /verify is answered before any middleware or routing is asked."""

    ctx: Context
    verify: Verify
    owns_store: bool
    ending: bool = False
    """The process has been asked to end: /live says so, so that an edge sends nothing more."""

    def methods(self, scope: Scope) -> list[str]:
        """What an address answers (RFC 9110 section 10.2.1), whichever of its routes does."""
        found = [
            name
            for name in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
            if any(route.matches({**scope, "method": name})[0] is Match.FULL for route in self.routes)
        ]
        return ["GET", "HEAD", *found[1:]] if "GET" in found else found

    def build_middleware_stack(self) -> ASGIApp:
        """The layers, with safe headers around all of it, the answer to an exception that nobody handles
        included."""
        return SecurityHeaders(super().build_middleware_stack(), https=self.ctx.settings.secure_cookies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and is_disguised(scope):
            nothing = SecurityHeaders(JSONResponse(NOTHING, 404), https=self.ctx.settings.secure_cookies)
            await nothing(scope, receive, send)
        elif scope["type"] == "http" and is_question(own_path(scope)):
            await self.verify(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    async def aclose(self) -> None:
        """Close what was opened, which a store that was handed over is not."""
        await self.ctx.standings.aclose()
        await self.ctx.servers.aclose()
        await self.ctx.http.aclose()
        if self.owns_store:
            await self.ctx.store.close()
        self.ctx.audit.close()


def create_app(
    settings: Settings | None = None, *, store: Store | None = None, now: Callable[[], float] = time.time
) -> Gateway:
    """The authorization server. Raises SettingsError, one line that names the setting that cannot be used."""
    settings = settings or load_settings()
    metrics = Metrics()
    recent = RecentStore(store or open_store(settings.store_address))
    audit = Audit(settings.audit_log, now=now, observe=metrics.observe)
    ctx = build_context(settings, recent, audit, now)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await gateway.aclose()

    gateway = Gateway(
        title="MCP OAuth Gateway", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None,
        # A redirect would name the scheme of the last hop, and have codes and tokens sent again over http.
        redirect_slashes=False,
        telemetry=NOT_FASTAPIS,
    )  # fmt: skip
    gateway.ctx = ctx
    gateway.owns_store = store is None
    gateway.verify = Verify(ctx, recent, metrics)
    for_machines = (token, register, revoke, introspect, device_authorization, jwks, internal_identity)
    for_people = (authorize, account, device_page, landing, pages)
    gateway.include_router(verify_routes(ctx, gateway.verify))
    for module in (*for_machines, *for_people, metadata, server_cards, wheels):
        gateway.include_router(module.routes(ctx))
    _add_operations(gateway, metrics)
    _add_errors(gateway)
    # The last one stands first.
    gateway.add_middleware(BodyLimit)
    gateway.add_middleware(AtServers, ctx=ctx, routed=gateway.methods)
    gateway.add_middleware(Cors, resources=ctx.resources, origins=Origins(settings))
    gateway.add_middleware(HeadIsGet)
    gateway.add_middleware(ClientAddress, settings=settings)
    return gateway


@asynccontextmanager
async def open_context(settings: Settings, audit: TextIO) -> AsyncIterator[Context]:
    """The context of a command: the same without a server. `audit` is used unless AUDIT_LOG names a file."""
    destination = audit if settings.audit_log == "-" else settings.audit_log
    ctx = build_context(settings, RecentStore(open_store(settings.store_address)), Audit(destination))
    try:
        yield ctx
    finally:
        await ctx.standings.aclose()
        await ctx.servers.aclose()
        await ctx.http.aclose()
        await ctx.store.close()
        ctx.audit.close()


def build_context(
    settings: Settings, store: RecentStore, audit: Audit, now: Callable[[], float] = time.time
) -> Context:
    """What the endpoints share."""
    keys = KeyRing(settings, store, now)
    resources = Resources(settings)
    http = httpx.AsyncClient(timeout=10, headers={"User-Agent": f"mcp-oauth-dynamicclient/{__version__}"})
    providers = login.providers(settings, http, now)
    standings = login.Standings(settings, store, providers, now, read=store.recent)
    return Context(
        settings=settings,
        store=store,
        tables=Tables(store),
        resources=resources,
        servers=open_servers(settings, store, resources, now),
        keys=keys,
        tokens=Tokens(settings, keys, now),
        statements=Statements(settings, StatementKeyRing(settings, store, now), now),
        standings=standings,
        policy=Policy(settings, store, read=store.recent, standings=standings),
        clients=ClientRegistry(settings, store, now=now),
        audit=audit,
        outages=Outages(now),
        http=http,
        bridge_wheel=Wheel.of(settings.wheel_folder) if settings.wheel_folder else None,
        now=now,
    )


def _add_operations(gateway: Gateway, metrics: Metrics) -> None:
    store = StoreHealth(gateway.ctx.store)

    @gateway.get("/health", tags=["operations"], responses={200: {"model": Health}, 503: {"model": Health}})
    async def health() -> Response:
        """Whether the store can be read and written; 503 says why not."""
        trouble = await store.trouble()
        metrics.store_up.set(trouble is None)
        if trouble is None:
            return JSONResponse({"status": "healthy"})
        headers = {"Retry-After": str(trouble.retry_after)}
        return JSONResponse({"status": "unhealthy", "reason": trouble.reason}, 503, headers)

    @gateway.get("/live", include_in_schema=False)
    async def live() -> Response:
        """Tells an edge with several replicas whether to send requests here, whatever the store does."""
        return Response(status_code=503 if gateway.ending else 200)

    @gateway.get("/metrics", include_in_schema=False)
    async def prometheus(request: Request) -> Response:
        """What Prometheus reads, for requests that came past no edge."""
        through_an_edge = any(name.startswith("x-forwarded-") for name in request.headers)
        if through_an_edge or not gateway.ctx.settings.metrics:
            raise HTTPException(404)
        return Response(metrics.exposition(), media_type=metrics.content_type)


def _add_errors(gateway: Gateway) -> None:
    """Every error in the standard's form (RFC 6749 section 5.2), or as a page for a person's browser."""

    @gateway.exception_handler(OAuth2Error)
    async def oauth_error(request: Request, error: OAuth2Error) -> Response:
        if error.status_code >= 500:
            _, unwritten = gateway.ctx.outages.meet(error.reason, error.detail)
            if unwritten is not None:
                log.warning("%s: %s (%s)", quote(request.url.path), error.reason, error.detail)
        return JSONResponse(dict(error.get_body()), error.status_code, dict(error.get_headers()))

    @gateway.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        if error.status_code == 404 and prefers_html(request.headers.get("accept", "").encode()):
            return await nowhere_page(gateway.ctx, request, asked=request.url.path)
        sentence = NOTHING["error_description"] if error.status_code == 404 else str(error.detail)
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = ", ".join(gateway.methods(request.scope))
            if request.method == "GET" and prefers_html(request.headers.get("accept", "").encode()):
                return pages.not_opened(gateway.ctx, headers["Allow"])
            sentence = f"This address answers {headers['Allow']}."
        content = {"error": "invalid_request", "error_description": sentence}
        return JSONResponse(content, error.status_code, headers)

    @gateway.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> Response:
        names = ", ".join(sorted({str(fault["loc"][-1]) for fault in error.errors()}))
        content = {"error": "invalid_request", "error_description": f"Missing or malformed: {names}."}
        return JSONResponse(content, 400)

    @gateway.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> Response:
        return broken()
