"""For the servers behind the gateway alone: the keys of identity statements, younger statements, and what a
server says of itself.

An entry point of the edge that is not published forwards these and nothing else; no public router does.
"""

from __future__ import annotations

import json

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from .. import server_tools
from .._common.identity_header import MAX_SIZE
from ..context import Context
from ..errors import InvalidTokenError
from . import server_cards
from .introspect import live_grant

PREFIX = "/internal/identity"
MAX_CARD = 64 * 1024
"""Octets of what a server says of itself, with its statement."""


def routes(ctx: Context) -> APIRouter:
    router = APIRouter(prefix=PREFIX, include_in_schema=False)

    @router.get("/keys")
    async def keys() -> Response:
        return JSONResponse(await ctx.statements.published())

    @router.post("/renewal")
    async def renewal(request: Request) -> Response:
        """The body is a statement; the answer is `{"statement": ...}`, or 403 once the grant behind it was
        revoked, the token was, or the person is not admitted any more."""
        text = (await request.body())[: MAX_SIZE + 1].decode("latin-1")
        try:
            claims = await ctx.statements.read(text)
            grant = await live_grant(ctx, claims["sid"], claims["jti"])
        except InvalidTokenError as error:
            return _refusal(400, error.description or "")
        if grant is None:
            return _refusal(403, "The sign-in behind this request was revoked.")
        return JSONResponse({"statement": await ctx.statements.about(grant, claims, claims["aud"])})

    @router.post("/card")
    async def card(request: Request) -> Response:
        """What a server says of itself, with a statement that it was sent: so it speaks for itself alone."""
        body = (await request.body())[: MAX_CARD + 1]
        try:
            told = json.loads(body) if len(body) <= MAX_CARD else {}
            text, said = told["statement"], told["said"]
            claims = await ctx.statements.read(text if isinstance(text, str) else "")
        except InvalidTokenError as error:
            return _refusal(400, error.description or "")
        except (ValueError, RecursionError, KeyError, TypeError):
            return _refusal(400, "The body is a statement and what the server says of itself.")
        said = said if isinstance(said, dict) else {}
        await server_cards.note(ctx, claims["aud"], said)
        await server_tools.note(ctx, claims["aud"], said.get("tools"))
        return JSONResponse({})

    return router


def _refusal(status: int, sentence: str) -> Response:
    return JSONResponse({"error": "invalid_token", "error_description": sentence}, status)
