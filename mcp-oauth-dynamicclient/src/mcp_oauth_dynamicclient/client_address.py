"""Whose request this is, behind the edge and what may stand in front of it."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from starlette.types import ASGIApp, Receive, Scope, Send

from ._common.resolver import asker
from .settings import Settings

Network = IPv4Network | IPv6Network


class ClientAddress:
    """Puts the client's own address into the scope, for rate limits and the audit log, and says whom the work
    of this request is done for.

    Each proxy appends to `X-Forwarded-For` whom it was asked by, so it is read from its end, past the proxies
    that the settings name, to the first address that is none of them. What stands before it was written by
    the client. No other header is believed.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._any_peer = "*" in settings.trusted_proxies
        # Where only the edge can reach this server, a loopback address is the edge's own hop, for /verify is
        # asked through an entry point there.
        own_hop = ("127.0.0.0/8", "::1") if self._any_peer else ()
        named = (*settings.trusted_proxies, *settings.front_proxies, *own_hop)
        self._proxies = tuple(ip_network(text, strict=False) for text in named if text != "*")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope.get("client"):
            client = self.of(scope)
            if client != scope["client"][0]:
                scope["client"] = (client, 0)
            asker.set(site(client))
        await self._app(scope, receive, send)

    def of(self, scope: Scope) -> str:
        """The client's own address, for what stands before the middlewares."""
        peer: str = scope["client"][0] if scope.get("client") else ""
        return self._client(scope, peer) if self._any_peer or self._is_proxy(peer) else peer

    def _client(self, scope: Scope, peer: str) -> str:
        values = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
        client = peer
        for entry in reversed(",".join(values).split(",") if values else []):
            address = _host(entry.strip())
            if address is None:
                break
            client = address
            if not self._is_proxy(address):
                break
        return client

    def _is_proxy(self, host: str) -> bool:
        try:
            address = ip_address(host)
        except ValueError:
            return False
        return any(address in network for network in self._proxies)


@lru_cache(maxsize=4096)
def site(host: str) -> str:
    """Who is counted: an IPv4 address, or the /64 that one IPv6 site has."""
    try:
        parsed = ip_address(host)
    except ValueError:
        return host
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(IPv6Network((int(parsed), 64), strict=False).network_address)
    return host


def _host(entry: str) -> str | None:
    """The IP address of an entry, which some proxies write with a port; None for anything else."""
    host = entry[1:].partition("]")[0] if entry.startswith("[") else entry
    if host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        return str(ip_address(host))
    except ValueError:
        return None
