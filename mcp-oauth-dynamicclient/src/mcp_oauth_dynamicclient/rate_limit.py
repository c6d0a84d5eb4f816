"""Limits on what anybody may ask of the open endpoints, per client address."""

from __future__ import annotations

from fastapi import Request

from .audit import Event
from .client_address import site
from .context import Context
from .errors import TooManyRequestsError

HOUR = 3600


def address(request: Request) -> str:
    """Who is counted: an IPv4 address, or the /64 that one IPv6 site has."""
    return site(request.client.host if request.client else "")


async def per_hour(ctx: Context, what: Event, request: Request, allowed: int) -> None:
    """Count one request. Raises TooManyRequestsError beyond `allowed`, which is audited."""
    counter = f"{what}:{address(request)}"
    if await ctx.store.increment(counter, window=HOUR) > allowed:
        ctx.audit.record(what, outcome="refused", reason="rate limit", address=address(request))
        raise TooManyRequestsError("Too many requests from this address; try again later.", HOUR)
