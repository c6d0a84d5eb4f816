"""Server cards and their catalog (SEP-2127), where the operator wants them public.

A server is never asked for a stranger. It tells what it says of itself when a signed-in call has reached it
(endpoints/internal_identity.py); that is kept, and made a card with the address that the gateway knows.
"""

from __future__ import annotations

import hashlib
import json
import time
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from .._common.server_card import CARD_TYPE, CATALOG_PATH, CATALOG_TYPE, PUBLIC_HEADERS, card, catalog, told
from ..context import Context
from ..servers import Presence

FRESH = 60.0
"""Seconds for which the catalog is not made anew."""
_NONE = {
    "error": "not_found",
    "error_description": "No card is public here, or the server has not said anything of itself yet.",
}


async def note(ctx: Context, resource: str, said: dict[str, Any]) -> None:
    """Keep what the server of a resource says of itself, if a card of it has an address."""
    kept = told(said)
    if ctx.settings.public_server_cards and "/" not in ctx.resources.name(resource) and kept:
        await ctx.store.put("card", resource, kept, expires_at=ctx.now() + ctx.settings.server_lifetime)


async def answer(ctx: Context, resource: str, request: Request) -> Response:
    """The card of the server of a resource. Raises StoreUnavailableError."""
    entry = await ctx.store.get("card", resource) if ctx.settings.public_server_cards else None
    if entry is None:
        return JSONResponse(_NONE, 404)
    return _document(request, card(ctx.resources.name(resource), resource, entry.value), CARD_TYPE)


def routes(ctx: Context) -> APIRouter:
    router = APIRouter(tags=["discovery"])
    made: tuple[float, dict[str, Any]] = (float("-inf"), {})

    @router.get(CATALOG_PATH, include_in_schema=False)
    async def all_cards(request: Request) -> Response:
        nonlocal made
        if not ctx.settings.public_server_cards:
            return JSONResponse(_NONE, 404)
        if time.monotonic() - made[0] > FRESH:
            found = {}
            async for entry in ctx.store.list("card"):
                name = ctx.resources.name(entry.key)
                if await ctx.servers.presence(name) is not Presence.UNKNOWN:
                    found[name] = (entry.key, entry.value)
            made = time.monotonic(), catalog(dict(sorted(found.items())))
        return _document(request, made[1], CATALOG_TYPE)

    return router


def _document(request: Request, body: dict[str, Any], media_type: str) -> Response:
    content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    headers = {**PUBLIC_HEADERS, "etag": f'"{hashlib.sha256(content).hexdigest()[:32]}"'}
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=media_type)
