"""The public keys that verify access tokens (RFC 7517)."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from ..context import Context
from ..keys import public_keys
from . import described


def routes(ctx: Context) -> APIRouter:
    router = APIRouter(tags=["discovery"])

    @router.get("/jwks", **described.answers(described.KeySet))
    async def jwks() -> Response:
        keys = public_keys(await ctx.keys.published())
        return JSONResponse(keys, headers={"Cache-Control": "public, max-age=300"})

    return router
