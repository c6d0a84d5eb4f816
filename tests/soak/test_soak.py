"""Sessions by the thousand, opened and dropped in bad ways, leave nothing behind in the proxy."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.proxy_process import ProxyProcess, proxy_process
from tests.soak.visitor import visitor
from tests.soak.ways import WAYS

SESSIONS = int(os.environ.get("SOAK_SESSIONS", "10000"))
FIRST = 1000
GROWTH = 16_000_000
"""Bytes that the resident set may grow after the first thousand sessions.

4 to 6 MB were measured with 10,000 on an idle machine, 12 MB on one that did much else, and under 2 MB where
every thousand was followed by a garbage collection: it is what the busiest moment and the cycles between
two collections need. One session that is never forgotten weighs 3 kB, so that 9,000 of them would be 27 MB.
"""

AT_ONCE = 16
IDLE = 6
"""Seconds until the proxy closes a session that nobody uses: more than a visitor waits for the processor."""
UNANSWERED = 8
"""Seconds until the proxy gives up a call that the server does not answer."""
SETTLED_WITHIN = 60.0
LIGHT = Path(__file__).parent / "light.py"


def hesitation(number: int) -> float:
    """Seconds, up to a tenth: whoever goes goes at another moment of what the proxy does."""
    return number // len(WAYS) % 10 / 100


@dataclass(frozen=True)
class Held:
    """What the proxy holds."""

    sessions: int
    children: int
    processes: int
    """Server processes that exist, whether the proxy knows of them or not."""
    descriptors: int
    resident: int
    """Bytes."""

    def no_more_than(self, before: Held) -> bool:
        return (
            self.sessions <= before.sessions
            and self.children <= before.children
            and self.processes <= before.processes
            and self.descriptors <= before.descriptors
        )


@dataclass(frozen=True)
class Soaked:
    proxy: ProxyProcess
    http: httpx.AsyncClient
    """One connection that stays open, so that it does not blur the count of descriptors."""
    mark: str
    """In the command line of every server process."""

    async def drop(self, numbers: range) -> None:
        """Open and drop these sessions, a few at once, each way in turn."""
        waiting = iter(numbers)

        async def worker() -> None:
            for number in waiting:
                way = WAYS[number % len(WAYS)]
                with visitor(self.proxy.port, f"user-{number}", hesitation(number)) as one:
                    try:
                        async with asyncio.timeout(60):
                            await way(one)
                    except Exception as problem:
                        raise AssertionError(f"{way.__name__}, session {number}: {problem!r}") from problem

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(worker())

    async def held(self) -> Held:
        metrics = (await self.http.get("/metrics")).text
        process = Path("/proc") / str(self.proxy.pid)
        pages = int((process / "statm").read_text().split()[1])
        return Held(
            sessions=_gauge(metrics, "sessions"),
            children=_gauge(metrics, "children"),
            processes=sum(self._is_server(entry) for entry in Path("/proc").glob("[0-9]*")),
            descriptors=len(list((process / "fd").iterdir())),
            resident=pages * os.sysconf("SC_PAGE_SIZE"),
        )

    def _is_server(self, process: Path) -> bool:
        """Whether this is a server process, be it the proxy's child, dead or alive, or nobody's."""
        try:
            parent = (process / "stat").read_text().rpartition(")")[2].split()[1]
            command = (process / "cmdline").read_text("utf-8", "replace")
        except OSError:  # it has just gone
            return False
        proxy = str(self.proxy.pid)
        return process.name != proxy and (parent == proxy or self.mark in command)

    async def settled(self, before: Held) -> Held:
        """What is held once everything is as before, or else after a minute."""
        deadline = asyncio.get_running_loop().time() + SETTLED_WITHIN
        while not (now := await self.held()).no_more_than(before):
            if asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(0.1)
        return now


def _gauge(metrics: str, name: str) -> int:
    found = re.search(rf"^mcp_proxy_{name}\{{.*\}} (\S+)$", metrics, re.M)
    assert found, metrics
    return int(float(found[1]))


@pytest.fixture
async def soaked(tmp_path: Path) -> AsyncIterator[Soaked]:
    mark = f"--mark={uuid.uuid4()}"
    options = ("--trust-identity", "--timeout", str(IDLE), "--request-timeout", str(UNANSWERED))
    limits = ("--max-children", "1000", "--stop-timeout", "2")
    server = (sys.executable, "-S", "-E", str(LIGHT), mark)
    forever = httpx.Limits(keepalive_expiry=None)
    with proxy_process(tmp_path / "proxy.log", *options, *limits, "--", *server) as proxy:
        async with httpx.AsyncClient(base_url=proxy.url, limits=forever, timeout=30) as http:
            yield Soaked(proxy, http, mark)


async def test_300_sessions_leave_no_process_and_no_descriptor(soaked: Soaked) -> None:
    before = await soaked.held()
    await soaked.drop(range(300))
    assert (await soaked.held()).sessions > 0
    after = await soaked.settled(before)
    assert after.no_more_than(before), (before, after)


@pytest.mark.soak
@pytest.mark.timeout(7200)
async def test_10000_sessions_leave_no_memory_either(soaked: Soaked) -> None:
    before = await soaked.held()
    await soaked.drop(range(FIRST))
    first = await soaked.settled(before)
    await soaked.drop(range(FIRST, SESSIONS))
    last = await soaked.settled(before)
    print(f"\n{before}\n{first}\n{last}")
    assert last.no_more_than(before), (before, last)
    assert last.resident - first.resident < GROWTH, (first, last)
