"""GET /: the servers there are, what they can do, and how to connect a client to each."""

from __future__ import annotations

from dataclasses import asdict
from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response

from .. import pages, server_tools
from ..context import Context
from ..errors import StoreUnavailableError
from ..findings import found
from ..pages.connect import claude_code_line, cursor_link, vs_code_link
from ..server_tools import Tools
from ..visible import Shown, visible_to


def routes(ctx: Context) -> APIRouter:
    router = pages.page_router(ctx, "account", again="/")
    issuer, domain = ctx.settings.issuer, ctx.settings.base_domain
    pattern = f"{ctx.settings.scheme}://NAME.{domain}/mcp" if domain else f"{issuer}/NAME/mcp"
    place = domain or urlsplit(issuer).netloc

    @router.get("/")
    async def landing(request: Request) -> Response:
        findings = found(ctx, request)
        try:
            servers = await visible_to(ctx, request)
        except StoreUnavailableError as error:
            return pages.refuse_error(ctx, "account", error, findings=findings)
        tools = await server_tools.of_all(ctx) if servers else {}
        return pages.render(
            ctx, "landing.html", copying=True, place=place, pattern=pattern,
            may_see=servers is not None, findings=findings,
            servers=[_entry(server, tools.get(server.resource)) for server in servers or ()],
        )  # fmt: skip

    return router


def _entry(server: Shown, tools: Tools | None) -> dict[str, object]:
    name, url = server.name, server.resource
    return {
        **asdict(server),
        "tools": tools,
        "claude_code": claude_code_line(name, url),
        "vs_code": vs_code_link(name, url),
        "cursor": cursor_link(name, url),
    }
