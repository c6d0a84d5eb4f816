"""Which servers a page may name to whoever asks for it: to everybody at the machine of a local run, and on a
server to those who have signed in. Nothing is started and no server is asked for it."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from fastapi import Request

from .context import Context
from .login import session
from .pages.route import is_navigation
from .servers import Presence
from .this_machine import is_loopback

MOST = 100
"""Servers that one page names."""
STATES = {Presence.HERE: "running", Presence.UNHEALTHY: "not well", Presence.AWAY: "away"}


@dataclass(frozen=True, slots=True)
class Shown:
    name: str
    resource: str
    state: str
    """Empty where nobody can be asked."""


async def visible(ctx: Context, request: Request, client: str, host: str) -> list[Shown] | None:
    """The servers, or None for somebody who may not see them.

    `client` is the address of who asks, `host` the name by which the gateway was asked. Raises
    StoreUnavailableError.
    """
    if not _is_opened(ctx, request, host):
        return None
    if not at_this_machine(ctx, client) and await session.current(ctx, request) is None:
        return None
    shown = []
    for name in (await ctx.servers.names())[:MOST]:
        state = STATES.get(await ctx.servers.presence(name))
        if state is not None:
            shown.append(Shown(name, ctx.resources.of_server(name), state if ctx.servers.asked else ""))
    return shown


def _is_opened(ctx: Context, request: Request, host: str) -> bool:
    """Whether a person goes to an address of ours, and no page reads the answer."""
    # Some answers that name servers are ones that pages of other origins may read. A browser says the origin
    # of such a page even where it knows no Fetch Metadata, and none when a person goes to an address.
    of_a_page = request.headers.get("origin") not in (None, ctx.settings.issuer)
    return not of_a_page and is_navigation(request) and ctx.resources.is_ours(host)


def is_owner(ctx: Context, request: Request) -> bool:
    """Whether who opens this page sits at the machine of a local run; for a request that has passed the
    middlewares."""
    client = request.client.host if request.client else ""
    return at_this_machine(ctx, client) and _is_opened(ctx, request, request.headers.get("host", ""))


def at_this_machine(ctx: Context, client: str) -> bool:
    """Whether the address of who asks is that of the machine of a local run."""
    return is_loopback(urlsplit(ctx.settings.issuer).hostname or "") and is_loopback(client)


async def visible_to(ctx: Context, request: Request) -> list[Shown] | None:
    """The same for a request that has passed the middlewares."""
    client = request.client.host if request.client else ""
    return await visible(ctx, request, client, request.headers.get("host", ""))
