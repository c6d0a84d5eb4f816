"""A name with addresses of both families, of which one leads nowhere (RFC 8305), and paths that go silent."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import httpx
import pytest
from mcp_streamablehttp_client._common.addresses import AddressPolicy
from mcp_streamablehttp_client._common.pinned_transport import PinnedTransport
from mcp_streamablehttp_client.credentials.store import Store
from mcp_streamablehttp_client.doctor import examine
from mcp_streamablehttp_client.errors import NotConnectedError
from mcp_streamablehttp_client.http1 import HttpClient, Target
from mcp_streamablehttp_client.http1.connect import connected
from mcp_streamablehttp_client.settings import Settings
from mcp_streamablehttp_client.trust import SYSTEM

from .test_ways import hello

NAME = "both.families.example"


def _other_address() -> str:
    """::1; where a machine has none, another address of its loopback."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return "::1"
    except OSError:
        return "127.0.0.2"


OTHER = _other_address()
FAMILY = socket.AF_INET6 if OTHER == "::1" else socket.AF_INET


@contextmanager
def refusing(port: int = 0) -> Iterator[int]:
    """A port that is taken, and where nobody listens."""
    with socket.socket(FAMILY) as taken:
        taken.bind((OTHER, port))
        yield taken.getsockname()[1]


@contextmanager
def hanging(port: int) -> Iterator[int]:
    """A port that answers no SYN: its queue is full, and nobody empties it."""
    with ExitStack() as stack:
        full = stack.enter_context(socket.socket(FAMILY))
        full.bind((OTHER, port))
        full.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket(FAMILY))
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        yield full.getsockname()[1]


@pytest.fixture
async def good_port() -> AsyncIterator[int]:
    """A server on 127.0.0.1 whose port is free at OTHER."""
    for _ in range(20):
        listener = await asyncio.start_server(hello, "127.0.0.1", 0)
        port: int = listener.sockets[0].getsockname()[1]
        try:
            with refusing(port):
                break
        except OSError:
            listener.close()
    yield port
    listener.close()


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The test's own: NAME is OTHER first, then 127.0.0.1. Names asked for are in the list."""
    asked: list[str] = []
    others = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, *rest: int, **more: int) -> list[Any]:
        if host != NAME:
            return list(others(host, port, *rest, **more))
        asked.append(host)
        return [
            (FAMILY, socket.SOCK_STREAM, 6, "", (OTHER, port, 0, 0) if OTHER == "::1" else (OTHER, port)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setenv("NO_PROXY", "*")
    return asked


@pytest.mark.parametrize("dead", [refusing, hanging])
async def test_an_address_that_leads_nowhere_keeps_nobody_from_the_other(
    dead: Callable[[int], AbstractContextManager[int]], good_port: int, resolver: list[str]
) -> None:
    http = HttpClient(5)
    with dead(good_port):
        response = await http.request("GET", Target(f"http://{NAME}:{good_port}/x"), [])
        assert await response.read() == b"GET /x HTTP/1.1"
    http.close()
    assert resolver == [NAME]


@pytest.mark.parametrize("dead", [refusing, hanging])
async def test_nor_does_it_keep_oauth_from_it(
    dead: Callable[[int], AbstractContextManager[int]], good_port: int, resolver: list[str]
) -> None:
    policy = AddressPolicy(ports=None, exempt=[(NAME, good_port)])
    async with httpx.AsyncClient(transport=PinnedTransport(policy), timeout=600) as http:
        with dead(good_port):
            response = await http.get(f"http://{NAME}:{good_port}/x")
    assert response.text == "GET /x HTTP/1.1"
    assert resolver == [NAME]


async def test_two_addresses_that_refuse_are_one_refusal(resolver: list[str]) -> None:
    with refusing() as port, pytest.raises(NotConnectedError, match=f"{NAME}:{port}"):
        await connected(Target(f"http://{NAME}:{port}/"), SYSTEM)


async def test_the_doctor_is_not_kept_by_it_either(good_port: int, resolver: list[str]) -> None:
    with hanging(good_port):
        async for verdict in examine(Settings(f"http://{NAME}:{good_port}/mcp"), Store()):
            if verdict.hop in ("dns", "tcp"):
                assert verdict.state == "well", verdict
            if verdict.hop == "tcp":
                break


async def test_a_connection_is_probed_while_it_is_silent(good_port: int) -> None:
    """Else a laptop that slept, or a NAT that forgot, leaves the standing stream waiting for ever."""
    connection = await connected(Target(f"http://127.0.0.1:{good_port}/"), SYSTEM)
    assert connection._wire._transport is not None
    wire = connection._wire._transport.get_extra_info("socket")
    assert wire.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    if hasattr(socket, "TCP_KEEPIDLE"):
        idle, every, count = (
            wire.getsockopt(socket.IPPROTO_TCP, option)
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        )
        assert idle + every * count <= 60
    connection.close()
