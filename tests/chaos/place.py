"""What a gateway under chaos has to offer, wherever it runs."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import httpx

from tests.conftest import Gateway

from .record import Record

COUNTING = Path(__file__).parent / "counting_server.py"
LASTS = (0.5, 8.0)
"""Seconds of a pause, a cut, a full disk, a moved clock."""
GONE_WITHIN = 180.0
"""Seconds after which sessions that nobody uses, and their processes, count as left."""
STEP = 0.1


@dataclass(frozen=True)
class Blow:
    what: str
    whom: str
    fall: Callable[[], Awaitable[bool]]
    """Returns once it is undone; False if there was nobody to strike."""


class Place(Protocol):
    revoked_within: float
    """Seconds after which every replica of auth knows that a token was revoked."""

    async def start(self) -> Gateway: ...

    async def stop(self) -> None:
        """End everything, and hold against it what is still there then."""

    async def expired(self, resource: str) -> str:
        """A token as it was issued two hours ago, by the gateway's own key, for a living grant."""

    def executed(self) -> list[str]:
        """The calls that the counting server wrote down, once it has ended."""

    def blow(self, choice: random.Random) -> Blow: ...


class EdgeWatch:
    """An edge that was ended is new until another process of it has been seen to serve."""

    def __init__(self, record: Record, url: str, process: Callable[[], int]) -> None:
        self._record = record
        self._url = f"{url}/.well-known/oauth-authorization-server"
        self._process = process
        self._task: asyncio.Task[None] | None = None

    def ended(self, process: int) -> None:
        self._record.edge_is_new = True
        self.stop()
        self._task = asyncio.create_task(self._until_it_serves(process))

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _until_it_serves(self, ended: int) -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=5) as http:
            while True:
                await asyncio.sleep(STEP)
                started = await asyncio.to_thread(self._process) not in (0, ended)
                with suppress(httpx.HTTPError):
                    if started and (await http.get(self._url)).status_code in (200, 503):
                        self._record.edge_is_new = False
                        return


def signalled(pid: int, number: signal.Signals) -> bool:
    """Whether there was such a process."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def descendants(pid: int) -> list[int]:
    found, waiting = [], [pid]
    while waiting:
        for task in Path(f"/proc/{waiting.pop()}/task").glob("*"):
            with suppress(OSError):
                children = [int(child) for child in (task / "children").read_text().split()]
                found += children
                waiting += children
    return found


def is_counting(pid: int) -> bool:
    """Whether it is a process of the counting server; the proxy's command line names the program, too."""
    try:
        _, program, *_ = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except (OSError, ValueError):
        return False
    return Path(program).name == COUNTING.name
