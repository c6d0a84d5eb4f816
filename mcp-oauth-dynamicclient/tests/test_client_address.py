"""Whose request it is, behind the edge and what stands in front of it: only X-Forwarded-For, from its end."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from mcp_oauth_dynamicclient._common.resolver import asker
from mcp_oauth_dynamicclient.client_address import ClientAddress, site
from mcp_oauth_dynamicclient.settings import Settings
from starlette.types import Receive, Scope, Send

TUNNEL = "198.51.100.0/24"


async def client(settings: Settings, peer: str, *forwarded: str) -> str:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["client"][0])
        assert asker.get() == site(scope["client"][0])

    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    headers += [(b"x-real-ip", b"203.0.113.66"), (b"forwarded", b"for=203.0.113.66")]
    scope = {"type": "http", "client": (peer, 1), "headers": headers}
    await ClientAddress(app, settings)(scope, None, None)  # type: ignore[arg-type]  # not called
    return seen[0]


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("127.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("127.0.0.1", ["10.0.0.1, 203.0.113.9"], "203.0.113.9"),
        ("127.0.0.1", ["10.0.0.1, 203.0.113.9, 198.51.100.7"], "203.0.113.9"),
        ("127.0.0.1", ["10.0.0.1", "203.0.113.9, 198.51.100.7", "127.0.0.1"], "203.0.113.9"),
        ("127.0.0.1", ["203.0.113.9:4711, 198.51.100.7"], "203.0.113.9"),
        ("127.0.0.1", ["[2001:db8::1]:4711"], "2001:db8::1"),
        ("127.0.0.1", ["203.0.113.9, unknown"], "127.0.0.1"),
        ("127.0.0.1", ["x" * 100_000], "127.0.0.1"),
        ("127.0.0.1", [], "127.0.0.1"),
        ("203.0.113.5", ["10.0.0.1"], "203.0.113.5"),
    ],
)
async def test_the_last_address_that_is_no_proxys_is_the_clients(
    make_settings: Callable[..., Settings], peer: str, forwarded: list[str], expected: str
) -> None:
    settings = make_settings(front_proxies=TUNNEL)
    assert await client(settings, peer, *forwarded) == expected


async def test_where_every_peer_is_the_edge_a_client_still_cannot_choose(
    make_settings: Callable[..., Settings],
) -> None:
    settings = make_settings(trusted_proxies="*", front_proxies=TUNNEL)
    assert await client(settings, "172.18.0.3", "10.0.0.1, 203.0.113.9, 198.51.100.7") == "203.0.113.9"
    assert await client(settings, "172.18.0.3", "10.0.0.1, 203.0.113.9") == "203.0.113.9"


async def test_the_edges_own_hop_on_the_way_to_verify_is_nobody(
    make_settings: Callable[..., Settings],
) -> None:
    """Else everybody would be at the machine, and shown what is shown there."""
    settings = make_settings(trusted_proxies="*", front_proxies=TUNNEL)
    assert await client(settings, "172.18.0.3", "10.0.0.1, 203.0.113.9, 127.0.0.1") == "203.0.113.9"
    assert await client(settings, "172.18.0.3", "127.0.0.1") == "127.0.0.1"
