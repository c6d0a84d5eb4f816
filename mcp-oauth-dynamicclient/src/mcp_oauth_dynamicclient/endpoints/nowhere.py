"""An address that leads nowhere: a page for a browser, with the servers that its visitor may see."""

from __future__ import annotations

import logging
from difflib import get_close_matches

from fastapi import Request, Response

from .. import pages
from ..context import Context
from ..errors import StoreUnavailableError
from ..visible import visible, visible_to

log = logging.getLogger(__name__)


async def nowhere_page(
    ctx: Context, request: Request, client: str | None = None, asked: str = "", host: str = ""
) -> Response:
    """404. `client` and `host` as for `visible`, where the request has passed no middleware; `asked` is the
    path that was asked for."""
    try:
        if client is None:
            servers = await visible_to(ctx, request)
        else:
            servers = await visible(ctx, request, client, host)
    except StoreUnavailableError as error:
        if ctx.outages.meet("nowhere", error.detail)[1] is not None:
            log.warning("the servers cannot be listed: %s", error.__cause__)
        servers = None
    word = next((part for part in asked.partition("?")[0].split("/") if part), "")
    meant = get_close_matches(word, [server.name for server in servers or ()], n=1)
    return pages.not_found(ctx, servers, meant[0] if meant else "")
