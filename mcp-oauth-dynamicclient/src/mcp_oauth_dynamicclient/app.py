"""The composition root: settings in, application out.

    app = create_app(Settings(...))          # or create_app(), with the settings of the environment
    other.mount("/", create_app(settings))   # in another FastAPI project

Nothing runs in the background and everything connects on first use, so a mounted application needs no start;
whoever mounts it calls `await app.aclose()` at the end, as its own lifespan does.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TextIO

import httpx
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from . import __version__, authorize, pages
from .audit import Audit
from .clients import ClientRegistry
from .context import Context
from .endpoints import (
    account,
    device_authorization,
    device_page,
    introspect,
    jwks,
    landing,
    metadata,
    register,
    revoke,
    token,
)
from .endpoints.described import Health
from .endpoints.verify import Verify, prefers_html
from .endpoints.verify import routes as verify_routes
from .errors import OAuth2Error, StoreUnavailable
from .keys import KeyRing
from .login import GitHubApi, Memberships
from .metrics import Metrics
from .middleware import BodyLimit, Direct, OpenCors, SecurityHeaders
from .policy import Policy
from .resources import Resources
from .settings import Settings, load_settings
from .store import Store, open_store
from .store.recent import RecentStore
from .tokens import Tokens

log = logging.getLogger(__name__)

REGISTRATION = "/register"


class Gateway(FastAPI):
    """An application whose /verify is answered before any middleware or routing is asked, and whose
    registrations skip what FastAPI adds to Starlette."""

    ctx: Context
    verify: Verify
    owns_store: bool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"] if scope["type"] == "http" else None
        if path == "/verify":
            await self.verify(scope, receive, send)
        elif path == REGISTRATION:
            await super(FastAPI, self).__call__(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    async def aclose(self) -> None:
        """Close what was opened, which a store that was handed over is not."""
        await self.ctx.http.aclose()
        if self.owns_store:
            await self.ctx.store.close()
        self.ctx.audit.close()


def create_app(
    settings: Settings | None = None, *, store: Store | None = None, now: Callable[[], float] = time.time
) -> Gateway:
    """The authorization server. SettingsError says in one line which setting cannot be used."""
    settings = settings or load_settings()
    metrics = Metrics()
    recent = RecentStore(store or open_store(settings.store_url))
    audit = Audit(settings.audit_log, now=now, observe=metrics.observe)
    ctx = build_context(settings, recent, audit, now)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await gateway.aclose()

    gateway = Gateway(
        title="MCP OAuth Gateway", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None
    )
    gateway.ctx = ctx
    gateway.owns_store = store is None
    gateway.verify = Verify(ctx, recent, metrics)
    gateway.include_router(verify_routes(ctx, gateway.verify))
    for module in (token, register, revoke, introspect, device_authorization, jwks):
        gateway.include_router(module.routes(ctx))
    for module in (authorize, account, device_page, landing, pages, metadata):
        gateway.include_router(module.routes(ctx))
    _add_operations(gateway, metrics)
    _add_errors(gateway)
    registration = partial(register.enter, ctx)
    # Anything else goes on to where unexpected errors of every endpoint are answered and logged.
    errors = {kind: handler for kind, handler in gateway.exception_handlers.items() if kind is not Exception}
    gateway.add_middleware(BodyLimit)
    gateway.add_middleware(Direct, method="POST", path=REGISTRATION, endpoint=registration, errors=errors)
    gateway.add_middleware(OpenCors)
    gateway.add_middleware(SecurityHeaders, https=settings.secure_cookies)
    return gateway


@asynccontextmanager
async def open_context(settings: Settings, audit: TextIO) -> AsyncIterator[Context]:
    """For the commands: the same without a server. `audit` is used unless AUDIT_LOG names a file."""
    destination = audit if settings.audit_log == "-" else settings.audit_log
    ctx = build_context(settings, RecentStore(open_store(settings.store_url)), Audit(destination))
    try:
        yield ctx
    finally:
        await ctx.http.aclose()
        await ctx.store.close()
        ctx.audit.close()


def build_context(
    settings: Settings, store: RecentStore, audit: Audit, now: Callable[[], float] = time.time
) -> Context:
    """What the endpoints share."""
    keys = KeyRing(settings, store, now)
    http = httpx.AsyncClient(timeout=10, headers={"User-Agent": f"mcp-oauth-dynamicclient/{__version__}"})
    memberships = Memberships(settings, store, GitHubApi(settings, http), now, read=store.recent)
    return Context(
        settings=settings,
        store=store,
        resources=Resources(settings),
        keys=keys,
        tokens=Tokens(settings, keys, now),
        policy=Policy(settings, store, read=store.recent, memberships=memberships),
        clients=ClientRegistry(settings, store, now=now),
        audit=audit,
        http=http,
        now=now,
    )


def _add_operations(gateway: Gateway, metrics: Metrics) -> None:
    @gateway.get("/health", tags=["operations"], responses={200: {"model": Health}, 503: {"model": Health}})
    async def health() -> Response:
        try:
            await gateway.ctx.store.ping()
        except StoreUnavailable as error:
            metrics.store_up.set(0)
            return JSONResponse({"status": "unhealthy", "reason": error.description}, 503)
        metrics.store_up.set(1)
        return JSONResponse({"status": "healthy"})

    @gateway.get("/metrics", include_in_schema=False)
    async def prometheus(request: Request) -> Response:
        through_an_edge = any(name.startswith("x-forwarded-") for name in request.headers)
        if through_an_edge or not gateway.ctx.settings.metrics:
            raise HTTPException(404)
        return Response(metrics.exposition(), media_type=metrics.content_type)


def _add_errors(gateway: Gateway) -> None:
    """Every error in the standard's form (RFC 6749 section 5.2), or as a page for a person's browser."""

    @gateway.exception_handler(OAuth2Error)
    async def oauth_error(request: Request, error: OAuth2Error) -> Response:
        if isinstance(error, StoreUnavailable):
            log.warning("the store cannot be reached: %s", error.__cause__)
        return JSONResponse(dict(error.get_body()), error.status_code, dict(error.get_headers()))

    @gateway.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        if error.status_code == 404 and prefers_html(request.headers.get("accept", "").encode()):
            title, sentence = "Nothing here", "This address leads nowhere."
            return pages.error_page(gateway.ctx, title, sentence, status=404)
        sentence = "There is nothing at this address." if error.status_code == 404 else str(error.detail)
        content = {"error": "invalid_request", "error_description": sentence}
        return JSONResponse(content, error.status_code, error.headers)

    @gateway.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> Response:
        names = ", ".join(sorted({str(fault["loc"][-1]) for fault in error.errors()}))
        content = {"error": "invalid_request", "error_description": f"Missing or malformed: {names}."}
        return JSONResponse(content, 400)

    @gateway.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> Response:
        content = {"error": "server_error", "error_description": "Something went wrong here; try again."}
        return JSONResponse(content, 500)
