"""Politeness per site, and the operator's lists."""

from __future__ import annotations

import asyncio
import time
from ipaddress import ip_network

import pytest
from mcp_fetch_streamablehttp_server._common.addresses import AddressRefusedError
from mcp_fetch_streamablehttp_server._common.host_origin import host_rules
from mcp_fetch_streamablehttp_server.errors import FetchError
from mcp_fetch_streamablehttp_server.manners import Manners, retry_seconds
from mcp_fetch_streamablehttp_server.policy import SitePolicy
from mcp_fetch_streamablehttp_server.settings import Settings


async def test_a_site_has_few_visitors_at_once() -> None:
    manners = Manners(2)
    inside, most = 0, 0

    async def visit() -> None:
        nonlocal inside, most
        async with manners.visit("a"):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(visit() for _ in range(10)))
    assert most == 2


async def test_crawl_delay_lies_between_two_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    manners = Manners(4, clock=lambda: 100.0)
    for _ in range(3):
        async with manners.visit("a", 5):
            pass
    async with manners.visit("b", 5):
        pass
    assert slept == [5, 10]


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_is_obeyed(status: int) -> None:
    now = 0.0
    manners = Manners(4, clock=lambda: now)
    manners.told("a", status, "120")
    with pytest.raises(FetchError, match="asks not to be called again before 120 seconds"):
        async with manners.visit("a"):
            pass
    async with manners.visit("b"):
        pass
    now = 121.0
    async with manners.visit("a"):
        pass


def test_retry_after_may_be_a_date() -> None:
    assert retry_seconds("Fri, 01 Jan 2100 00:00:00 GMT") == pytest.approx(4102444800 - time.time(), abs=5)
    assert retry_seconds("soon") is None


def policy(**lists: object) -> SitePolicy:
    return SitePolicy(None, (), **lists)  # type: ignore[arg-type]


def test_only_listed_hosts_where_there_is_a_list() -> None:
    some = policy(only=host_rules("*.example.com"))
    assert some.check_host("docs.example.com", 443) == "docs.example.com"
    with pytest.raises(AddressRefusedError, match="is not on this server's list"):
        some.check_host("example.org", 443)


def test_denied_hosts() -> None:
    some = policy(denied=host_rules("ads.example.com,*.example.net"))
    some.check_host("example.com", 443)
    for host in ("ads.example.com", "ADS.example.com.", "x.example.net"):
        with pytest.raises(AddressRefusedError, match="list of hosts that are not fetched from"):
            some.check_host(host, 443)


def test_a_private_network_is_opened_by_name_and_alone() -> None:
    some = policy(networks=(ip_network("10.20.0.0/16"),))
    some.check_addresses("wiki.internal", 80, ["10.20.1.1"])
    some.check_addresses("both.example", 80, ["10.20.1.1", "93.184.215.14"])
    for found in (["10.21.0.1"], ["10.20.1.1", "127.0.0.1"], ["::ffff:10.20.1.1"], ["169.254.169.254"], []):
        with pytest.raises(AddressRefusedError):
            some.check_addresses("wiki.internal", 80, found)


def test_a_denied_network_is_closed_though_it_is_public() -> None:
    some = policy(denied_networks=(ip_network("93.184.0.0/16"),))
    with pytest.raises(AddressRefusedError, match="in a network that this server does not fetch from"):
        some.check_addresses("a.example", 80, ["93.184.215.14"])


def test_lists_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCP_FETCH_PRIVATE_NETWORKS", "10.20.0.0/16, fd00:1::/64")
    monkeypatch.setenv("MCP_FETCH_DENY_HOSTS", "*.example.net")
    settings = Settings.load()
    assert settings.fetch_private_networks == (ip_network("10.20.0.0/16"), ip_network("fd00:1::/64"))
    assert str(settings.fetch_deny_hosts[0]) == "*.example.net"
