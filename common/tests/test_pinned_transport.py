"""A name with several addresses: the first that takes the connection gets the request, and it alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import httpcore
import httpx
import pytest

from common.addresses import AddressPolicy, AddressRefusedError
from common.pinned_transport import NEXT_ADDRESS_SECONDS, CheckedBackend, PinnedTransport

DEAD_V6, DEAD_V4, GOOD, OTHER = "2606:4700::1", "1.1.1.1", "8.8.8.8", "9.9.9.9"
PUBLIC = AddressPolicy(ports=None)
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Line(httpcore.AsyncMockStream):
    """A connection that notes what is sent on it, and its end, which may fail."""

    def __init__(self, *, breaks: bool = False) -> None:
        super().__init__([ANSWER])
        self.breaks = breaks
        self.sent = b""
        self.closed = asyncio.Event()

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.sent += buffer

    async def aclose(self) -> None:
        self.closed.set()
        if self.breaks:
            raise OSError("it is broken already")


class Network(httpcore.AsyncNetworkBackend):
    """Addresses that refuse, that never answer, and one that answers when another has been tried.

    If that is stubborn, it answers when it is told, also after it was given up.
    """

    def __init__(
        self,
        *,
        refusing: Iterable[str] = (),
        silent: Iterable[str] = (),
        slow: str = "",
        stubborn: asyncio.Event | None = None,
        breaks: bool = False,
    ) -> None:
        self.refusing, self.silent, self.slow, self.stubborn = refusing, silent, slow, stubborn
        self.breaks = breaks
        self.tried: list[str] = []
        self.lines: dict[str, Line] = {}
        self.connected = asyncio.Event()
        self.begun: asyncio.Queue[str] = asyncio.Queue()
        self.made: asyncio.Queue[Line] = asyncio.Queue()
        self.given_up: asyncio.Queue[str] = asyncio.Queue()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        self.tried.append(host)
        self.begun.put_nowait(host)
        if host in self.refusing:
            raise httpcore.ConnectError(f"{host} refused")
        try:
            if host in self.silent:
                await asyncio.Event().wait()
            if host == self.slow:
                await (self.stubborn or self.connected).wait()
        except asyncio.CancelledError:
            self.given_up.put_nowait(host)
            if host != self.slow:
                raise
            if self.stubborn is not None:
                await self.stubborn.wait()
        line = self.lines[host] = Line(breaks=self.breaks)
        self.made.put_nowait(line)
        self.connected.set()
        return line


async def connect(network: Network, *addresses: str, timeout: float = 60) -> httpcore.AsyncNetworkStream:
    async def resolve(host: str, port: int) -> list[str]:
        return list(addresses)

    backend = CheckedBackend(PUBLIC, resolve, network)
    return await backend.connect_tcp("site.example", 443, timeout)


async def test_a_dead_address_does_not_cost_the_time_out() -> None:
    network = Network(silent=(DEAD_V6,))
    assert await connect(network, DEAD_V6, GOOD) is network.lines[GOOD]
    assert await network.given_up.get() == DEAD_V6


async def test_the_families_take_turns() -> None:
    network = Network(refusing=(DEAD_V6, "2606:4700::2", DEAD_V4))
    assert await connect(network, DEAD_V6, "2606:4700::2", DEAD_V4, GOOD) is network.lines[GOOD]
    assert network.tried == [DEAD_V6, DEAD_V4, "2606:4700::2", GOOD]


async def test_the_first_alone_is_tried_when_it_answers() -> None:
    network = Network()
    assert await connect(network, GOOD, OTHER) is network.lines[GOOD]
    assert network.tried == [GOOD]


async def test_the_request_is_sent_once_and_a_late_connection_is_closed() -> None:
    network = Network(slow=DEAD_V4)

    async def resolve(host: str, port: int) -> list[str]:
        return [DEAD_V4, GOOD]

    transport = PinnedTransport(PUBLIC, resolver=resolve, connector=network)
    async with httpx.AsyncClient(transport=transport) as client:
        assert (await client.post("http://site.example/pay", content=b"1")).text == "ok"
        # The slow one connects in the same turn of the loop or when it is given up: either may be the first.
        (lost,) = (line for line in network.lines.values() if not line.sent)
        await lost.closed.wait()
    (used,) = (line for line in network.lines.values() if line is not lost)
    assert used.sent.count(b"POST /pay") == 1


async def test_the_first_connection_waits_for_no_other_to_be_given_up() -> None:
    """Whoever waits can be cancelled, and would lose it; and the other may break."""
    told = asyncio.Event()
    network = Network(slow=DEAD_V4, stubborn=told, breaks=True)
    assert await connect(network, DEAD_V4, GOOD) is (used := await network.made.get())
    assert await network.given_up.get() == DEAD_V4
    assert network.made.empty()
    told.set()
    late = await network.made.get()
    await late.closed.wait()
    assert not used.closed.is_set()


async def test_who_is_cancelled_in_the_moment_of_the_connection_leaves_none() -> None:
    told = asyncio.Event()
    network = Network(slow=GOOD, stubborn=told)
    caller = asyncio.create_task(connect(network, GOOD))
    await network.begun.get()
    told.set()
    made = await network.made.get()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await made.closed.wait()


async def test_one_private_address_among_many_and_none_is_tried() -> None:
    network = Network()
    with pytest.raises(AddressRefusedError):
        await connect(network, GOOD, OTHER, "10.0.0.1")
    assert network.tried == []


async def test_where_all_are_dead_the_time_out_is_one_for_all() -> None:
    network = Network(silent=(DEAD_V6, DEAD_V4))
    with pytest.raises(httpcore.ConnectTimeout):
        await connect(network, DEAD_V6, DEAD_V4, timeout=2 * NEXT_ADDRESS_SECONDS)
    assert {await network.given_up.get() for _ in network.tried} == set(network.tried)


async def test_where_all_refuse_the_last_reason_is_told() -> None:
    with pytest.raises(httpcore.ConnectError, match=f"{DEAD_V4} refused"):
        await connect(Network(refusing=(DEAD_V6, DEAD_V4)), DEAD_V6, DEAD_V4)


async def test_no_name_has_many_addresses_tried() -> None:
    network = Network(refusing=[f"8.8.8.{number}" for number in range(100)])
    with pytest.raises(httpcore.ConnectError):
        await connect(network, *network.refusing)
    assert len(network.tried) == 8
