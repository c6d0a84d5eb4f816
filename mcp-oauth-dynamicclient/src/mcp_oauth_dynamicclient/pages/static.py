"""The stylesheet and the icon: the only files a page loads."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING

from fastapi import APIRouter
from fastapi.responses import Response

if TYPE_CHECKING:
    from ..context import Context

FILES = {"style.css": "text/css; charset=utf-8", "icon.svg": "image/svg+xml"}
CONTENT = {name: files(__package__).joinpath(name).read_bytes() for name in FILES}
STYLE_VERSION = hashlib.sha256(b"".join(CONTENT.values())).hexdigest()[:12]
HEADERS = {
    "Cache-Control": "public, max-age=31536000, immutable",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
}


def routes(ctx: Context) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get("/static/style.css")
    async def style() -> Response:
        return _file("style.css")

    @router.get("/static/icon.svg")
    @router.get("/favicon.ico")
    async def icon() -> Response:
        return _file("icon.svg")

    return router


def _file(name: str) -> Response:
    return Response(CONTENT[name], media_type=FILES[name], headers=HEADERS)
