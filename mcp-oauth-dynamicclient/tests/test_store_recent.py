"""Reads that may be old: right at once for changes made here, soon for changes made elsewhere."""

from __future__ import annotations

import asyncio

import pytest
from mcp_oauth_dynamicclient.errors import StoreUnavailableError
from mcp_oauth_dynamicclient.store import Entry, Kind, Store
from mcp_oauth_dynamicclient.store.recent import RecentStore
from mcp_oauth_dynamicclient.store.sqlite import SqliteStore


class Counting(SqliteStore):
    """Counts reads, and can hold one back until told to go on."""

    def __init__(self) -> None:
        super().__init__(":memory:")
        self.reads = 0
        self.gate: asyncio.Event | None = None
        self.away = False

    async def get(self, kind: Kind, key: str) -> Entry | None:
        self.reads += 1
        if self.away:
            raise StoreUnavailableError
        entry = await super().get(kind, key)
        if self.gate is not None:
            await self.gate.wait()
        return entry


async def test_within_half_a_second_the_store_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    time = 100.0
    monkeypatch.setattr("mcp_oauth_dynamicclient.store.recent.time.monotonic", lambda: time)
    inner = Counting()
    store = RecentStore(inner)
    await store.put("grant", "a", {"n": 1})
    first = await store.recent("grant", "a")
    time += 0.4
    assert await store.recent("grant", "a") is first
    assert inner.reads == 1
    await inner.delete("grant", "a")  # another replica
    time += 0.1
    assert await store.recent("grant", "a") is None
    assert inner.reads == 2
    await store.close()


async def test_a_reading_crowd_asks_the_store_once() -> None:
    inner = Counting()
    store = RecentStore(inner)
    await asyncio.gather(*(store.recent("revoked", "x") for _ in range(50)))
    assert inner.reads == 1
    await store.close()


@pytest.mark.parametrize("change", ["add", "put", "take", "swap", "delete"])
async def test_every_change_made_through_it_is_seen_at_once(change: str) -> None:
    store = RecentStore(SqliteStore(":memory:"))
    if change != "add":
        await store.put("grant", "a", {"n": 1})
    before = await store.recent("grant", "a")
    match change:
        case "add":
            await store.add("grant", "a", {"n": 2})
        case "put":
            await store.put("grant", "a", {"n": 2})
        case "take":
            await store.take("grant", "a")
        case "swap":
            assert before is not None
            assert await store.swap("grant", "a", before.version, {"n": 2})
        case "delete":
            await store.delete("grant", "a")
    after = await store.recent("grant", "a")
    assert after == await store.get("grant", "a")
    assert after != before
    await store.close()


async def test_a_read_that_was_overtaken_by_a_change_is_not_remembered() -> None:
    inner = Counting()
    store = RecentStore(inner)
    await store.put("grant", "a", {"n": 1})
    inner.gate = asyncio.Event()
    slow = asyncio.create_task(store.recent("grant", "a"))
    while inner.reads == 0:
        await asyncio.sleep(0)
    await store.delete("grant", "a")
    inner.gate.set()
    await slow
    assert await store.recent("grant", "a") is None
    await store.close()


async def test_an_unreachable_store_is_told_to_every_reader_and_not_remembered() -> None:
    inner = Counting()
    store: RecentStore = RecentStore(inner)
    await store.put("grant", "a", {})
    inner.away = True
    results = await asyncio.gather(*(store.recent("grant", "a") for _ in range(3)), return_exceptions=True)
    assert all(isinstance(result, StoreUnavailableError) for result in results)
    inner.away = False
    assert await store.recent("grant", "a") is not None
    await store.close()


async def test_it_is_a_store() -> None:
    store: Store = RecentStore(SqliteStore(":memory:"))
    assert await store.increment("k", window=5) == 1
    await store.ping()
    await store.put("grant", "a", {}, owners=["user:1"])
    assert [entry.key async for entry in store.list("grant", "user:1")] == ["a"]
    await store.close()
