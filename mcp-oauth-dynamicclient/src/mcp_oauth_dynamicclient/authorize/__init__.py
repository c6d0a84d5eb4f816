"""The authorization endpoint: check, ask for consent, sign in, answer."""

from __future__ import annotations

from fastapi import APIRouter

from ..context import Context
from . import consent, sign_in


def routes(ctx: Context) -> APIRouter:
    router = APIRouter()
    router.include_router(consent.routes(ctx))
    router.include_router(sign_in.routes(ctx))
    return router
