"""A replica is replaced under load: who holds no session notices nothing, and a session that
ended with its replica is 404, upon which its client opens another."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from mcp import MCPError

from .clients import MODERN, connected
from .conftest import Fleet, healthy
from .sessions import open_session, ping, text

NOW: dict[str, Any] = {"timezone": "UTC"}
CLIENTS = 3
"""With sessions."""
Served = Counter[str]
"""What happened how often: calls of either era, sessions opened, and what failed by what it said."""
Call = Callable[[Any], Awaitable[object]]


async def modern(url: str, call: Call, user: str, served: Served, over: asyncio.Event) -> None:
    """A client of the era without sessions: whatever fails fails the test."""
    async with connected(url, MODERN, user) as client:
        while not over.is_set():
            await call(client)
            served[MODERN] += 1


async def legacy(url: str, call: Call, served: Served, over: asyncio.Event) -> None:
    """A client with a session, which opens another when it is told that its own is gone."""
    while not over.is_set():
        async with connected(url, "legacy") as client:
            served["sessions"] += 1
            try:
                while not over.is_set():
                    await call(client)
                    served["legacy"] += 1
            except MCPError as error:
                served[error.message] += 1


async def replaced(fleet: Fleet, served: Served) -> None:
    """The first of the three."""
    replica = fleet.replicas[0]
    await everybody_served(served)
    await asyncio.to_thread(replica.end)
    await everybody_served(served)
    replica.start()
    await asyncio.to_thread(healthy, fleet.http, replica.url, replica.log.parent)
    await everybody_served(served)


async def everybody_served(served: Served) -> None:
    before = served.copy()
    async with asyncio.timeout(200):
        while any(served[era] < before[era] + 10 for era in (MODERN, "legacy")):
            await asyncio.sleep(0.05)


async def under_load(fleet: Fleet, url: str, call: Call, users: tuple[str, ...]) -> Served:
    served: Served = Counter()
    over = asyncio.Event()
    async with asyncio.TaskGroup() as clients:
        for user in users:
            clients.create_task(modern(url, call, user, served, over))
        for _ in range(CLIENTS):
            clients.create_task(legacy(url, call, served, over))
        await replaced(fleet, served)
        over.set()
    return served


async def tell_the_time(client: Any) -> None:
    await text(client, "get_current_time", **NOW)


async def echo(client: Any) -> None:
    assert "hello" in await text(client, "echo", message="hello")


def ends(served: Served) -> int:
    """Calls that failed, each of which ended a session."""
    failed = served.total() - served[MODERN] - served["legacy"] - served["sessions"]
    assert served["sessions"] == CLIENTS + failed
    return failed


async def test_proxies_are_replaced_under_load(proxies: Fleet) -> None:
    ids = [open_session(proxies, replica.url) for replica in proxies.replicas]
    served = await under_load(proxies, f"{proxies.url}/time/mcp", tell_the_time, ("", "ada", ""))
    assert ends(served) <= CLIENTS, served
    for replica in proxies.replicas:
        assert [ping(proxies, replica.url, one) for one in ids] == [404, 200, 200]


async def test_servers_with_state_are_replaced_under_load(echoes: Fleet) -> None:
    served = await under_load(echoes, f"{echoes.url}/mcp", echo, ("ada", "bob", ""))
    assert ends(served) <= CLIENTS, served
