"""GET /: what this place is."""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import APIRouter, Response

from .. import pages
from ..context import Context


def routes(ctx: Context) -> APIRouter:
    router = pages.page_router(ctx)
    issuer, domain = ctx.settings.issuer, ctx.settings.base_domain
    pattern = f"{ctx.settings.scheme}://NAME.{domain}/mcp" if domain else f"{issuer}/NAME/mcp"
    place = domain or urlsplit(issuer).netloc

    @router.get("/")
    async def landing() -> Response:
        return pages.render(ctx, "landing.html", place=place, pattern=pattern)

    return router
