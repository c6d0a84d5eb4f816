"""Records in a store, and the change that many make at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from mcp_oauth_dynamicclient.errors import TemporarilyUnavailableError
from mcp_oauth_dynamicclient.records import Record
from mcp_oauth_dynamicclient.store import Store, Table
from mcp_oauth_dynamicclient.store.redis import RedisStore
from mcp_oauth_dynamicclient.store.sqlite import SqliteStore

from .support import Clock


class Count(Record):
    n: int = 0


def one_more(count: Count) -> Count:
    return Count(n=count.n + 1)


async def ends_at(store: Store) -> float | None:
    entry = await store.get("grant", "a")
    assert entry is not None
    return entry.expires_at


@pytest.fixture(params=["sqlite", "redis"])
async def store(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[Store]:
    store: Store
    if request.param == "sqlite":
        store = SqliteStore(str(tmp_path / "auth.db"), now=clock)
    else:
        store = RedisStore(request.getfixturevalue("redis_server").url, now=clock)
    yield store
    await store.close()


@pytest.fixture
def table(store: Store) -> Table[Count]:
    return Table(store, "grant", Count)


async def test_a_record_comes_back_as_it_was_put(table: Table[Count]) -> None:
    assert await table.add("a", Count(n=1), owners=["user:1"])
    assert not await table.add("a", Count(n=2))
    assert await table.get("a") == Count(n=1)
    await table.put("b", Count(n=3))
    assert sorted([item async for item in table.list()]) == [("a", Count(n=1)), ("b", Count(n=3))]
    assert [key async for key, _ in table.list("user:1")] == ["a"]
    assert await table.take("a") == Count(n=1)
    assert await table.take("a") is None
    assert await table.delete("b")
    assert await table.get("b") is None


async def test_an_update_tells_what_was_and_what_is(table: Table[Count]) -> None:
    await table.put("a", Count())
    assert await table.update("a", one_more) == (Count(n=0), Count(n=1))
    assert await table.get("a") == Count(n=1)
    assert await table.update("b", one_more) is None


async def test_of_thirty_updates_at_once_none_is_lost(table: Table[Count]) -> None:
    await table.put("a", Count())
    await asyncio.gather(*(table.update("a", one_more) for _ in range(30)))
    assert await table.get("a") == Count(n=30)


async def test_an_update_may_leave_everything_as_it_is(table: Table[Count], store: Store) -> None:
    await table.put("a", Count())
    entry = await store.get("grant", "a")
    updated = await table.update("a", lambda _: None)
    assert updated is not None
    assert updated.after is updated.before
    assert await store.get("grant", "a") == entry


async def test_an_update_that_raises_changes_nothing(table: Table[Count]) -> None:
    def refuse(_: Count) -> Count:
        raise PermissionError

    await table.put("a", Count())
    with pytest.raises(PermissionError):
        await table.update("a", refuse)
    assert await table.get("a") == Count()


async def test_an_update_keeps_expiry_and_owners_or_sets_another_expiry(
    table: Table[Count], store: Store, clock: Clock
) -> None:
    await table.put("a", Count(), expires_at=clock() + 10, owners=["user:1"])
    later = clock() + 50
    assert await ends_at(store) == clock() + 10
    await table.update("a", one_more)
    assert await ends_at(store) == clock() + 10
    await table.update("a", one_more, expires_at=later)
    assert await ends_at(store) == later
    await table.update("a", one_more, expires_at=None)
    assert await ends_at(store) is None
    assert [key async for key, _ in table.list("user:1")] == ["a"]


async def test_an_update_that_is_always_overtaken_gives_up() -> None:
    class Overtaken(SqliteStore):
        async def swap(self, *_: object, **__: object) -> bool:
            return False

    overtaken = Table(Overtaken(":memory:"), "grant", Count)
    await overtaken.put("a", Count())
    with pytest.raises(TemporarilyUnavailableError):
        await overtaken.update("a", one_more)
