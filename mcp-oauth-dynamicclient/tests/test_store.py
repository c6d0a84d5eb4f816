"""The store's contract, held by SQLite and by a real redis-server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from mcp_oauth_dynamicclient.store import Entry, Kind, Store, open_store
from mcp_oauth_dynamicclient.store.sqlite import SqliteStore

from .support import Clock


@pytest.fixture(params=["sqlite", "redis"])
async def store(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[Store]:
    store: Store
    if request.param == "sqlite":
        store = SqliteStore(str(tmp_path / "auth.db"), now=clock)
    else:
        from mcp_oauth_dynamicclient.store.redis import RedisStore

        store = RedisStore(request.getfixturevalue("redis_server").url, now=clock)
    yield store
    await store.close()


@pytest.fixture
async def replica(
    store: Store, request: pytest.FixtureRequest, tmp_path: Path, clock: Clock
) -> AsyncIterator[Store]:
    """A second process's view of the same data."""
    second: Store
    if isinstance(store, SqliteStore):
        second = SqliteStore(str(tmp_path / "auth.db"), now=clock)
    else:
        from mcp_oauth_dynamicclient.store.redis import RedisStore

        second = RedisStore(request.getfixturevalue("redis_server").url, now=clock)
    yield second
    await second.close()


async def listed(store: Store, kind: Kind, owner: str | None = None) -> list[Entry]:
    return sorted([entry async for entry in store.list(kind, owner)], key=lambda entry: entry.key)


async def keys(store: Store, kind: Kind, owner: str | None = None) -> list[str]:
    return [entry.key for entry in await listed(store, kind, owner)]


VALUE = {"text": "Grüße \x00 \"'", "list": [1, None, True], "nested": {"a": 1.5}, "big": 2**60}


async def test_a_value_comes_back_as_it_was_put(store: Store) -> None:
    await store.put("grant", "a", VALUE)
    entry = await store.get("grant", "a")
    assert entry is not None
    assert (entry.key, entry.value, entry.expires_at) == ("a", VALUE, None)


async def test_nothing_is_found_where_nothing_was_put(store: Store) -> None:
    await store.put("grant", "a", {})
    assert await store.get("grant", "b") is None
    assert await store.get("client", "a") is None
    assert await store.take("grant", "b") is None
    assert await store.delete("grant", "b") is False
    assert await keys(store, "client") == []


@pytest.mark.parametrize(
    "key", ["a b", "a:b", "https://claude.ai/x?y=1#z", "ü", "*", "a%", "_", "'; DROP TABLE entry", "x" * 2000]
)
async def test_any_text_is_a_key(store: Store, key: str) -> None:
    assert await store.add("client", key, {"n": 1}, owners=[f"o:{key}"])
    assert await keys(store, "client") == [key]
    assert await keys(store, "client", f"o:{key}") == [key]
    assert await store.delete("client", key)
    assert await keys(store, "client", f"o:{key}") == []


async def test_put_replaces_value_expiry_and_owners(store: Store, clock: Clock) -> None:
    await store.put("grant", "a", {"n": 1}, expires_at=clock() + 10, owners=["user:1"])
    await store.put("grant", "a", {"n": 2}, owners=["user:2"])
    clock.advance(20)
    entry = await store.get("grant", "a")
    assert entry is not None
    assert entry.value == {"n": 2}
    assert await keys(store, "grant", "user:1") == []
    assert await keys(store, "grant", "user:2") == ["a"]


async def test_add_refuses_an_existing_key_and_changes_nothing(store: Store) -> None:
    assert await store.add("client", "a", {"n": 1}, owners=["x"]) is True
    assert await store.add("client", "a", {"n": 2}, owners=["y"]) is False
    entry = await store.get("client", "a")
    assert entry is not None
    assert entry.value == {"n": 1}
    assert await keys(store, "client", "x") == ["a"]
    assert await keys(store, "client", "y") == []


async def test_add_replaces_what_has_expired(store: Store, clock: Clock) -> None:
    assert await store.add("jti", "a", {}, expires_at=clock() + 5, owners=["x"])
    clock.advance(6)
    assert await store.add("jti", "a", {"n": 2}) is True
    assert await keys(store, "jti", "x") == []


async def test_an_expired_entry_is_never_returned(store: Store, clock: Clock) -> None:
    for key in ("get", "take", "swap", "delete"):
        await store.put("login", key, {}, expires_at=clock() + 5, owners=["o"])
    entry = await store.get("login", "swap")
    assert entry is not None
    clock.advance(5)
    assert await store.get("login", "get") is None
    assert await store.take("login", "take") is None
    assert await store.swap("login", "swap", entry.version, {}) is False
    assert await store.delete("login", "delete") is False
    assert await keys(store, "login") == []
    assert await keys(store, "login", "o") == []


async def test_an_entry_put_with_a_past_expiry_is_gone_at_once(store: Store, clock: Clock) -> None:
    await store.put("login", "a", {"n": 1})
    await store.put("login", "a", {"n": 2}, expires_at=clock() - 5)
    assert await store.get("login", "a") is None


async def test_of_twenty_takers_exactly_one_gets_the_value(store: Store, replica: Store) -> None:
    await store.put("code", "a", {"n": 1}, owners=["o"])
    results = await asyncio.gather(*(side.take("code", "a") for side in [store, replica] * 10))
    assert [value for value in results if value is not None] == [{"n": 1}]
    assert await keys(store, "code", "o") == []


async def test_of_twenty_adders_exactly_one_succeeds(store: Store, replica: Store) -> None:
    results = await asyncio.gather(*(side.add("jti", "a", {}) for side in [store, replica] * 10))
    assert results.count(True) == 1


async def test_of_twenty_swappers_of_one_version_exactly_one_succeeds(store: Store, replica: Store) -> None:
    await store.put("grant", "a", {"winner": None}, owners=["user:1"])
    entry = await store.get("grant", "a")
    assert entry is not None
    sides = [store, replica] * 10
    results = await asyncio.gather(
        *(side.swap("grant", "a", entry.version, {"winner": n}) for n, side in enumerate(sides))
    )
    assert results.count(True) == 1
    after = await replica.get("grant", "a")
    assert after is not None
    assert after.value == {"winner": results.index(True)}
    assert after.version != entry.version


async def test_swap_replaces_the_expiry_and_keeps_the_owners(store: Store, clock: Clock) -> None:
    await store.put("grant", "a", {"n": 1}, expires_at=clock() + 5, owners=["user:1", "client:1"])
    entry = await store.get("grant", "a")
    assert entry is not None
    assert await store.swap("grant", "a", entry.version, {"n": 2}, expires_at=clock() + 50)
    clock.advance(20)
    assert [entry.value for entry in await listed(store, "grant", "user:1")] == [{"n": 2}]
    assert await keys(store, "grant", "client:1") == ["a"]
    clock.advance(40)
    assert await keys(store, "grant", "client:1") == []


async def test_swap_fails_once_the_entry_was_replaced_or_deleted(store: Store) -> None:
    await store.put("grant", "a", {"n": 1})
    first = await store.get("grant", "a")
    assert first is not None
    await store.put("grant", "a", {"n": 1})
    assert await store.swap("grant", "a", first.version, {"n": 2}) is False
    await store.delete("grant", "a")
    await store.add("grant", "a", {"n": 1})
    assert await store.swap("grant", "a", first.version, {"n": 2}) is False
    assert await store.swap("grant", "other", first.version, {"n": 2}) is False


async def test_list_gives_every_entry_of_a_kind_or_of_one_owner(store: Store) -> None:
    for n in range(450):
        await store.put("grant", f"{n:03}", {"n": n}, owners=[f"user:{n % 2}", "client:1", "client:1"])
    await store.put("client", "000", {})
    assert await keys(store, "grant") == [f"{n:03}" for n in range(450)]
    assert await keys(store, "grant", "user:1") == [f"{n:03}" for n in range(1, 450, 2)]
    assert await keys(store, "grant", "nobody") == []
    assert await keys(store, "client", "client:1") == []


async def test_entries_may_be_deleted_while_they_are_listed(store: Store) -> None:
    for n in range(450):
        await store.put("grant", f"{n:03}", {"n": n}, owners=["user:1"])
    async for entry in store.list("grant", "user:1"):
        await store.delete("grant", entry.key)
    assert await keys(store, "grant") == []


async def test_increment_counts_until_its_window_ends(store: Store, replica: Store, clock: Clock) -> None:
    assert await store.increment("register:1.2.3.4", window=60) == 1
    clock.advance(40)
    assert await replica.increment("register:1.2.3.4", window=60) == 2
    assert await store.increment("register:5.6.7.8", window=60) == 1
    clock.advance(20)
    assert await store.increment("register:1.2.3.4", window=60) == 1


async def test_no_increment_is_lost(store: Store, replica: Store) -> None:
    counts = await asyncio.gather(*(side.increment("k", window=60) for side in [store, replica] * 10))
    assert sorted(counts) == list(range(1, 21))


async def test_a_replica_sees_every_change_at_once(store: Store, replica: Store) -> None:
    await store.put("grant", "a", {"n": 1}, owners=["user:1"])
    assert await keys(replica, "grant", "user:1") == ["a"]
    await replica.delete("grant", "a")
    assert await store.get("grant", "a") is None


async def test_ping_succeeds_on_a_store_that_works(store: Store) -> None:
    await store.ping()


@pytest.mark.parametrize(
    "url", ["", "auth.db", "sqlite:", "sqlite://", "sqlite:///", "postgres://x/y", "redis://"]
)
def test_an_unusable_store_url_is_refused_with_one_line_that_says_what_to_write(url: str) -> None:
    from mcp_oauth_dynamicclient.errors import SettingsError

    with pytest.raises(SettingsError, match=r"^STORE_URL: must be sqlite:///path, redis://"):
        open_store(url)


def test_a_folder_that_does_not_exist_is_refused_before_anything_is_opened(tmp_path: Path) -> None:
    from mcp_oauth_dynamicclient.errors import SettingsError

    with pytest.raises(SettingsError, match=r"^STORE_URL: the folder .*/missing does not exist$"):
        open_store(f"sqlite:///{tmp_path}/missing/auth.db")
