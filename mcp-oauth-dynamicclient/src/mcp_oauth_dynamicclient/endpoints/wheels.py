"""GET /wheels/NAME.whl: the bridge's wheel, that one file and no list."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from ..context import Context


def routes(ctx: Context) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    wheel = ctx.bridge_wheel
    if wheel is None:
        return router
    # A new build may have the same name: kept, but asked about each time.
    headers = {"Cache-Control": "no-cache", "ETag": f'"{wheel.sha256}"'}

    @router.get(f"/wheels/{wheel.name}")
    async def bridge(request: Request) -> Response:
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        return Response(wheel.content, headers=headers, media_type="application/octet-stream")

    return router
