"""Limits on what anybody may ask of the open endpoints, per client address."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network, ip_address

from fastapi import Request

from .context import Context
from .errors import TooManyRequestsError
from .store import Limit

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


def hourly(what: str, request: Request, allowed: int) -> Limit:
    """What the address of this request may do in an hour."""
    return Limit(f"{what}:{address(request)}", allowed, HOUR)


def refusal(ctx: Context, what: str, request: Request) -> TooManyRequestsError:
    """The error to raise beyond a limit; it is audited."""
    ctx.audit.record(what, outcome="refused", reason="rate limit", address=address(request))
    return TooManyRequestsError("Too many requests from this address; try again later.", HOUR)


async def per_hour(ctx: Context, what: str, request: Request, allowed: int) -> None:
    """Count one request. Raises TooManyRequestsError beyond `allowed`."""
    limit = hourly(what, request, allowed)
    if await ctx.store.increment(limit.counter, window=limit.window) > limit.allowed:
        raise refusal(ctx, what, request)
