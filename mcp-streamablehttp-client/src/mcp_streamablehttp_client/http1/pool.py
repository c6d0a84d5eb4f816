"""Connections to one origin, kept alive and handed out, newest first."""

from __future__ import annotations

import asyncio
import time
from collections import deque

from ..trust import Trust
from .connect import connected
from .connection import Connection
from .target import Target

IDLE_SECONDS = 30.0
"""How long an unused connection is kept; servers close theirs after a while too."""
TRUSTED_SECONDS = 3.0
"""How long a kept connection is good for a request that must not be repeated: the longer it was
idle, the likelier the server is closing it at this moment."""
ENOUGH_CONNECTIONS = 32
"""Connections opened freely. Beyond, a request waits for one that another gives back,"""
STALLED_SECONDS = 0.1
"""and when none was for so long, since calls may take minutes, as many again may be opened."""


class Pool:
    def __init__(self, trust: Trust) -> None:
        self._trust = trust
        self._idle: list[Connection] = []
        self._open = 0
        """Connections at work, idle or being made."""
        self._enough = ENOUGH_CONNECTIONS
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()
        self._moved = 0.0

    async def connection(self, target: Target, *, repeatable: bool) -> Connection:
        """A connection that stands, kept or new; raises NotConnectedError."""
        longest = IDLE_SECONDS if repeatable else TRUSTED_SECONDS
        while True:
            kept = await self._kept(longest) or await self._freed()
            if kept is None:
                return await self._new(target)
            if await kept.stands():
                return kept
            self.drop(kept)

    def give_back(self, connection: Connection) -> None:
        """Take back a connection whose answer was read to its end."""
        if connection.rest():
            self._offer(connection)
        else:
            self.drop(connection)

    def drop(self, connection: Connection) -> None:
        """Close a connection; whoever waits for one may open another."""
        if not connection.closed:
            connection.close()
            self._open -= 1
            self._moved = time.monotonic()
            self._hand_over(None)

    def close(self) -> None:
        while self._idle:
            self.drop(self._idle.pop())

    async def _kept(self, longest: float) -> Connection | None:
        while self._idle and self._idle[0].idle_seconds > IDLE_SECONDS:
            self.drop(self._idle.pop(0))
        if self._idle and self._idle[-1].idle_seconds <= longest:
            return self._idle.pop()
        return None

    async def _freed(self) -> Connection | None:
        """One that another request gave back; None when a new one is to be opened."""
        if self._open < self._enough:
            return None
        waiting: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        try:
            while not waiting.done():
                await asyncio.wait((waiting,), timeout=STALLED_SECONDS)
                if not waiting.done() and self._may_open():
                    return None
            return waiting.result()
        except asyncio.CancelledError:
            if waiting.done() and (connection := waiting.result()) is not None:
                self._offer(connection)
            raise
        finally:
            if not waiting.done():
                self._waiting.remove(waiting)

    def _may_open(self) -> bool:
        now = time.monotonic()
        if now - self._moved > STALLED_SECONDS:
            self._enough = self._open + ENOUGH_CONNECTIONS
            self._moved = now
        return self._open < self._enough

    def _offer(self, connection: Connection) -> None:
        self._moved = time.monotonic()
        if not self._hand_over(connection):
            self._enough = ENOUGH_CONNECTIONS
            self._idle.append(connection)

    def _hand_over(self, connection: Connection | None) -> bool:
        if self._waiting:
            self._waiting.popleft().set_result(connection)
            return True
        return False

    async def _new(self, target: Target) -> Connection:
        self._open += 1
        try:
            return await connected(target, self._trust)
        except BaseException:
            self._open -= 1
            raise
