"""Whether the store can be used, asked for by health checks and by anybody else, yet not for each of them."""

from __future__ import annotations

import asyncio
import time

from ..errors import StoreUnavailableError
from .base import Store

KNOWN_FOR = 1.0
"""Seconds: a ping writes, and a stranger may ask as often as they like."""


class Health:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._known_at = float("-inf")
        self._trouble: StoreUnavailableError | None = None
        self._ping: asyncio.Task[None] | None = None

    async def trouble(self) -> StoreUnavailableError | None:
        """What is wrong with the store, None if nothing is; at most KNOWN_FOR seconds old. Who asks while a
        ping is under way waits for it, so that a store that hangs is never called healthy."""
        if self._ping is None and time.monotonic() - self._known_at >= KNOWN_FOR:
            self._ping = asyncio.create_task(self._ask())
        if self._ping is not None:
            await asyncio.shield(self._ping)
        return self._trouble

    async def _ask(self) -> None:
        try:
            await self._store.ping()
            self._trouble = None
        except StoreUnavailableError as error:
            self._trouble = error
        finally:
            self._known_at = time.monotonic()
            self._ping = None
