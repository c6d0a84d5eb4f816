"""Limits on what anybody may ask of the open endpoints, per client address."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network, ip_address

from fastapi import Request

from .audit import Event
from .context import Context
from .errors import TooManyRequestsError

HOUR = 3600


def address(request: Request) -> str:
    """Who is counted: an IPv4 address, or the /64 that one IPv6 site has."""
    return _site(request.client.host if request.client else "")


@lru_cache(maxsize=4096)
def _site(host: str) -> str:
    try:
        parsed = ip_address(host)
    except ValueError:
        return host
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(IPv6Network((int(parsed), 64), strict=False).network_address)
    return host


async def per_hour(ctx: Context, what: Event, request: Request, allowed: int) -> None:
    """Count one request. Raises TooManyRequestsError beyond `allowed`, which is audited."""
    counter = f"{what}:{address(request)}"
    if await ctx.store.increment(counter, window=HOUR) > allowed:
        ctx.audit.record(what, outcome="refused", reason="rate limit", address=address(request))
        raise TooManyRequestsError("Too many requests from this address; try again later.", HOUR)
