"""The way of a client, from the public address to a call of each server: the same for a local run and for
what `up` started."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from urllib.parse import urlsplit

from mcp_streamablehttp_client._common.hop import Verdict, well

from . import doctor_address as address
from .doctor_ask import Client, EitherWay
from .doctor_client import Known, Passes, check_servers


async def walk(
    issuer: str, edge: str, local: str, servers: Mapping[str, Known], passes: Passes | None
) -> AsyncIterator[Verdict]:
    """`edge` is where the gateway's own edge answers, `local` what people are told of that. Without passes no
    server is called."""
    async with Client(edge) as here, Client() as outside:
        way = EitherWay(outside, here)
        async for verdict in address.check_public_address(issuer, local):
            if verdict.state == "wrong":
                way.unreached |= {
                    _host(url) for url in (issuer, *(server.url for server in servers.values()))
                }
            yield verdict
        yield await address.check_issuer(way, issuer, local)
        yield address.check_clock(way.date)
        async for verdict in _other_hosts(issuer, servers, way):
            yield verdict
        if passes is not None:
            async for verdict in check_servers(way, issuer, servers, passes):
                yield verdict


async def _other_hosts(issuer: str, servers: Mapping[str, Known], way: EitherWay) -> AsyncIterator[Verdict]:
    """Name and certificate of each server that has a host of its own."""
    others = sorted({_host(server.url) for server in servers.values()} - {_host(issuer)})
    for host in others:
        verdict = await address.check_name(host)
        if verdict.state == "well" and issuer.startswith("https:") and not way.unreached:
            verdict = await address.check_certificate(host, host, address.port_of(issuer))
        if verdict.state == "wrong":
            way.unreached.add(host)
        if verdict.state != "well":
            yield verdict
    if others and not way.unreached:
        yield well("dns", f"the names of {len(others)} servers lead here too")


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""
