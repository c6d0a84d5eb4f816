"""Reads that may be half a second old, for the path that every request takes.

`RecentStore` stands in front of a store. What is changed through it is right at once; what another process
changes is seen within `MAX_AGE`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from .base import Entry, Kind, Store

MAX_AGE = 0.5
REMEMBERED = 20_000

Name = tuple[Kind, str]


class RecentStore:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[Name, tuple[float, Entry | None]] = {}
        self._reads: dict[Name, asyncio.Task[Entry | None]] = {}

    async def recent(self, kind: Kind, key: str) -> Entry | None:
        """As `get`, at most MAX_AGE seconds old; the same object until the store is read again."""
        name = (kind, key)
        known = self._known.get(name)
        if known is not None and time.monotonic() - known[0] < MAX_AGE:
            return known[1]
        read = self._reads.get(name)
        if read is None:
            read = self._reads[name] = asyncio.create_task(self._read(name))
        return await asyncio.shield(read)

    async def _read(self, name: Name) -> Entry | None:
        task = asyncio.current_task()
        started = time.monotonic()
        try:
            entry = await self._store.get(*name)
            if self._reads.get(name) is task:  # else it was changed meanwhile
                known = self._known.get(name)
                if known is not None and known[1] == entry:
                    entry = known[1]
                if len(self._known) >= REMEMBERED:
                    self._known.clear()
                self._known[name] = (started, entry)
            return entry
        finally:
            if self._reads.get(name) is task:
                del self._reads[name]

    def _changed(self, kind: Kind, key: str) -> None:
        self._known.pop((kind, key), None)
        self._reads.pop((kind, key), None)

    async def add(
        self,
        kind: Kind,
        key: str,
        value: dict[str, Any],
        *,
        expires_at: float | None = None,
        owners: Sequence[str] = (),
    ) -> bool:
        try:
            return await self._store.add(kind, key, value, expires_at=expires_at, owners=owners)
        finally:
            self._changed(kind, key)

    async def put(
        self,
        kind: Kind,
        key: str,
        value: dict[str, Any],
        *,
        expires_at: float | None = None,
        owners: Sequence[str] = (),
    ) -> None:
        try:
            await self._store.put(kind, key, value, expires_at=expires_at, owners=owners)
        finally:
            self._changed(kind, key)

    async def get(self, kind: Kind, key: str) -> Entry | None:
        return await self._store.get(kind, key)

    async def take(self, kind: Kind, key: str) -> dict[str, Any] | None:
        try:
            return await self._store.take(kind, key)
        finally:
            self._changed(kind, key)

    async def swap(
        self,
        kind: Kind,
        key: str,
        version: int,
        value: dict[str, Any],
        *,
        expires_at: float | None = None,
    ) -> bool:
        try:
            return await self._store.swap(kind, key, version, value, expires_at=expires_at)
        finally:
            self._changed(kind, key)

    async def delete(self, kind: Kind, key: str) -> bool:
        try:
            return await self._store.delete(kind, key)
        finally:
            self._changed(kind, key)

    def list(self, kind: Kind, owner: str | None = None) -> AsyncIterator[Entry]:
        return self._store.list(kind, owner)

    async def increment(self, key: str, *, window: float) -> int:
        return await self._store.increment(key, window=window)

    async def ping(self) -> None:
        await self._store.ping()

    async def close(self) -> None:
        await self._store.close()
