"""Who may do how much at once: a number of places in all, of which one caller holds no more than a share."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """First come, first served, among those who hold less than their share."""

    def __init__(self, places: int, share: int) -> None:
        self.free = places
        self.share = share
        self._held: Counter[str] = Counter()
        self._waiting: deque[tuple[str, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def of(self, caller: str) -> AsyncIterator[None]:
        await self._enter(caller)
        try:
            yield
        finally:
            self._leave(caller)

    async def _enter(self, caller: str) -> None:
        if self.free and self._held[caller] < self.share:
            self._take(caller)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((caller, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave(caller)  # the place was given in the moment the caller gave up
            raise

    def _take(self, caller: str) -> None:
        self.free -= 1
        self._held[caller] += 1

    def _leave(self, caller: str) -> None:
        self.free += 1
        self._held[caller] -= 1
        if not self._held[caller]:
            del self._held[caller]
        left: deque[tuple[str, asyncio.Future[None]]] = deque()
        for waiting, turn in self._waiting:
            if turn.done():
                continue
            if self.free and self._held[waiting] < self.share:
                self._take(waiting)
                turn.set_result(None)
            else:
                left.append((waiting, turn))
        self._waiting = left
