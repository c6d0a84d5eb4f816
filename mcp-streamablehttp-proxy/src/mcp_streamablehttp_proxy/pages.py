"""What the proxy answers beside its endpoints: the overview, server cards, and where nothing is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from ._common.front_page import HEADERS
from ._common.nowhere import name_endpoint
from ._common.refusal import error_body
from ._common.server_card import CARD_TYPE, CATALOG_PATH, CATALOG_TYPE, PUBLIC_HEADERS, card, catalog
from .overview import as_json, as_page
from .servers import Servers
from .wire.http import RefusedError, read_headers


def add_pages(app: FastAPI, hub: Servers) -> None:
    def base(request: Request) -> str:
        """What comes before the paths of endpoints."""
        public = hub.settings.public_url
        return public.base if public is not None else str(request.base_url).rstrip("/")

    def cards(request: Request) -> dict[str, tuple[str, Mapping[str, Any]]]:
        """Address and self-description of the servers that have been introduced."""
        found = {}
        for name, endpoint in hub.endpoints.items():
            if said := endpoint.pool.self_description:
                path = "/mcp" if name == hub.root else f"/{name}/mcp"
                found[name] = (base(request) + path, said)
        return found

    @app.api_route("/", methods=["GET", "HEAD"])
    async def overview(request: Request) -> Response:
        if (refused := _objection(hub, request)) is not None:
            return refused
        headers = {**HEADERS, "cache-control": "no-store", "vary": "accept"}
        accept = request.headers.get("accept", "")
        if "text/html" in accept and "application/json" not in accept:
            return HTMLResponse(as_page(hub, base(request)), headers=headers)
        return JSONResponse(as_json(hub), headers=headers)

    @app.api_route(CATALOG_PATH, methods=["GET", "HEAD"])
    async def all_cards(request: Request) -> Response:
        return _objection(hub, request) or _document(request, catalog(cards(request)), CATALOG_TYPE)

    @app.api_route("/mcp/server-card", methods=["GET", "HEAD"])
    async def root_card(request: Request) -> Response:
        return one_card(request, hub.root)

    @app.api_route("/{name}/mcp/server-card", methods=["GET", "HEAD"])
    async def named_card(request: Request) -> Response:
        return one_card(request, request.path_params["name"])

    def one_card(request: Request, name: str) -> Response:
        if (refused := _objection(hub, request)) is not None:
            return refused
        if name not in hub.endpoints:
            return _refusal(404, f"There is no server {name} here.")
        known = cards(request).get(name)
        if known is None:
            return _refusal(404, f"Server {name} has not said anything of itself yet; connect to it first.")
        return _document(request, card(name, *known), CARD_TYPE)

    name_endpoint(app, lambda request: f"{base(request)}{'' if hub.root in hub.endpoints else '/NAME'}/mcp")


def _objection(hub: Servers, request: Request) -> Response | None:
    """To a foreign Host or Origin, as at the endpoints."""
    try:
        hub.guard.check(read_headers(dict(request.scope)))
    except RefusedError as refusal:
        return _refusal(refusal.status, refusal.reason)
    return None


def _refusal(status: int, sentence: str) -> Response:
    return Response(error_body(sentence), status, media_type="application/json")


def _document(request: Request, body: object, media_type: str) -> Response:
    # A page of an origin that is not admitted got 403 before any of this.
    content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {**PUBLIC_HEADERS, "etag": tag}
    known = [one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")]
    if tag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=media_type)
