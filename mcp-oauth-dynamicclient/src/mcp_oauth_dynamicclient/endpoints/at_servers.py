"""What the authorization server answers at a server's own address: its health, where its endpoint is, and
while it is away, its endpoint."""

from __future__ import annotations

from collections.abc import Callable

from fastapi.responses import JSONResponse, Response
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from .. import pages
from .._common.error_codes import INTERNAL_ERROR
from .._common.refusal import error_body
from ..context import Context
from ..cors import address_of
from ..errors import StoreUnavailableError, TemporarilyUnavailableError
from ..public import Place
from ..resources import Address
from ..servers import Presence
from ..settings import Shape
from . import server_cards
from .nowhere import nowhere_page

RETRY_AFTER = 5
"""Seconds after which a server that is away is worth another try."""
UNKNOWN = {"error": "not_found", "error_description": "No server of this gateway has this address."}
SENTENCES = {
    Presence.AWAY: "The server is away just now; try again in a moment.",
    Presence.UNHEALTHY: "The server is not well just now; try again in a moment.",
    Presence.UNDECIDED: "The edge has not said yet which servers there are; try again in a moment.",
}


class AtServers:
    """Stands before routing: at its host a server's addresses have the paths of the authorization server's
    own."""

    def __init__(self, app: ASGIApp, ctx: Context, routed: Callable[[Scope], object]) -> None:
        self._app = app
        self._ctx = ctx
        # On one host a path alone may look like a server's name, such as /openapi.json.
        self._routed = routed if ctx.settings.shape is Shape.ONE_HOST else lambda _: None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        address = address_of(self._ctx.resources, scope) if scope["type"] == "http" else None
        if address is None or not self._is_servers(address, scope):
            await self._app(scope, receive, send)
        else:
            response = await self._answer(address, Request(scope))
            await response(scope, receive, send)

    def _is_servers(self, address: Address, scope: Scope) -> bool:
        if address.place is Place.BARE:
            return not self._routed(scope)
        return address.place in (Place.HEALTH, Place.CARD, Place.ENDPOINT)

    async def _answer(self, address: Address, request: Request) -> Response:
        try:
            presence = await self._ctx.servers.presence(address.server)
        except StoreUnavailableError as error:
            if opens(request.method, request.headers.get("accept", "").encode()):
                return pages.refuse_error(self._ctx, "access", error)
            return JSONResponse(dict(error.get_body()), 503, dict(error.get_headers()))
        if presence is Presence.UNKNOWN:
            if opens(request.method, request.headers.get("accept", "").encode()):
                return await nowhere_page(self._ctx, request, asked=request.url.path)
            return JSONResponse(UNKNOWN, 404)
        if address.place is Place.ENDPOINT and request.method == "OPTIONS":
            # An edge took it for a preflight, and it is none.
            refusal = {"error": "invalid_request", "error_description": "A preflight asks about one method."}
            return JSONResponse(refusal, 400)
        if address.place is Place.ENDPOINT:
            if opens(request.method, request.headers.get("accept", "").encode()):
                return unavailable_page(self._ctx, presence)
            return unavailable(presence)
        if request.method not in ("GET", "HEAD"):
            refusal = {"error": "invalid_request", "error_description": "Use GET or HEAD."}
            return JSONResponse(refusal, 405, {"Allow": "GET, HEAD"})
        if address.place is Place.HEALTH:
            return self._health(presence)
        if address.place is Place.CARD:
            return await self._card(address, request)
        return self._bare(address, request)

    async def _card(self, address: Address, request: Request) -> Response:
        try:
            return await server_cards.answer(self._ctx, address.resource, request)
        except StoreUnavailableError as error:
            return JSONResponse(dict(error.get_body()), 503, dict(error.get_headers()))

    def _health(self, presence: Presence) -> Response:
        if presence is not Presence.HERE:
            reason = {"status": "unhealthy", "reason": SENTENCES[presence]}
            return JSONResponse(reason, 503, {"Retry-After": str(RETRY_AFTER)})
        return JSONResponse({"status": "healthy" if self._ctx.servers.asked else "unknown"})

    def _bare(self, address: Address, request: Request) -> Response:
        if prefers_html(request.headers.get("accept", "").encode()):
            return pages.server_page(self._ctx, address.resource, status=404)
        return JSONResponse(elsewhere(address), 404)


def elsewhere(address: Address) -> dict[str, str]:
    return {"error": "not_found", "error_description": f"The MCP endpoint is {address.resource}"}


def unavailable(presence: Presence) -> Response:
    """503 that a client of the protocol understands: nothing is said about the session or the address."""
    sentence = _sentence(presence)
    headers = {"Retry-After": str(RETRY_AFTER), "Cache-Control": "no-store"}
    return Response(error_body(sentence, INTERNAL_ERROR), 503, headers, media_type="application/json")


def unavailable_page(ctx: Context, presence: Presence) -> Response:
    """The same for a person's browser."""
    return pages.refuse_error(ctx, "access", TemporarilyUnavailableError(_sentence(presence)))


def _sentence(presence: Presence) -> str:
    # HERE: the edge has just lost a server that it named a moment ago.
    return SENTENCES.get(presence, SENTENCES[Presence.AWAY])


def opens(method: str, accept: bytes) -> bool:
    """Whether a person's browser opens the address as a page."""
    return method == "GET" and prefers_html(accept)


def prefers_html(accept: bytes) -> bool:
    """Whether a person's browser asks: clients of the protocol accept JSON or an event stream."""
    lowered = accept.lower()
    return b"text/html" in lowered and b"json" not in lowered and b"event-stream" not in lowered
