"""What only the Redis store promises: nothing is left behind, and an outage is told, not hidden."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis.asyncio
from mcp_oauth_dynamicclient.errors import StoreUnavailableError
from mcp_oauth_dynamicclient.store.reasons import redis_unavailable
from mcp_oauth_dynamicclient.store.redis import RedisStore
from redis.exceptions import BusyLoadingError, ReadOnlyError, ResponseError

from .support import Clock, RedisServer


@pytest.fixture
async def store(redis_server: RedisServer, clock: Clock) -> AsyncIterator[RedisStore]:
    store = RedisStore(redis_server.url, now=clock)
    yield store
    await store.close()


@pytest.fixture
async def raw(redis_server: RedisServer) -> AsyncIterator[redis.asyncio.Redis]:
    client = redis.asyncio.Redis.from_url(redis_server.url, decode_responses=True)
    yield client
    await client.aclose()


async def test_deleting_an_entry_leaves_nothing_behind(store: RedisStore, raw: redis.asyncio.Redis) -> None:
    await store.put("grant", "a", {}, owners=["user:1", "client:1"])
    await store.put("grant", "b", {}, owners=["user:1"])
    await store.delete("grant", "a")
    await store.take("grant", "b")
    assert await raw.keys() == []


async def test_what_expires_takes_its_indexes_with_it(
    store: RedisStore, raw: redis.asyncio.Redis, clock: Clock
) -> None:
    await store.put("grant", "a", {}, expires_at=clock() + 100, owners=["user:1"])
    await store.put("grant", "b", {}, expires_at=clock() + 200, owners=["user:1"])
    assert 190 < await raw.ttl("{mcp-oauth}:@grant:user:1") <= 201
    assert 90 < await raw.ttl("{mcp-oauth}:grant:a") <= 101
    await store.put("grant", "c", {}, owners=["user:1"])
    assert await raw.ttl("{mcp-oauth}:@grant:user:1") == -1


async def test_expired_members_leave_an_owners_index_with_the_next_write(
    store: RedisStore, raw: redis.asyncio.Redis, clock: Clock
) -> None:
    await store.put("grant", "a", {}, expires_at=clock() + 10, owners=["user:1"])
    clock.advance(20)
    await store.put("grant", "b", {}, owners=["user:1"])
    assert await raw.zrange("{mcp-oauth}:@grant:user:1", 0, -1) == ["b"]
    assert await raw.zrange("{mcp-oauth}:@grant", 0, -1) == ["b"]


async def test_a_counter_leaves_by_itself(store: RedisStore, raw: redis.asyncio.Redis) -> None:
    await store.increment("k", window=100)
    await store.increment("k", window=1000)
    assert 90 < await raw.ttl("{mcp-oauth}:counter:k") <= 101


async def test_a_write_whose_answer_was_lost_is_done_once_when_sent_again(
    store: RedisStore, clock: Clock
) -> None:
    arguments = store._arguments("jti", "a", {"n": 1}, None, ())
    assert await store._add(["{mcp-oauth}:jti:a"], arguments) == 1
    assert await store._add(["{mcp-oauth}:jti:a"], arguments) == 1
    entry = await store.get("jti", "a")
    assert entry is not None
    again: list[Any] = ["a", entry.version, '{"n": 2}', 4711, "inf", clock()]
    assert await store._swap(["{mcp-oauth}:jti:a"], again) == 1
    assert await store._swap(["{mcp-oauth}:jti:a"], again) == 1
    assert await store.add("jti", "a", {"n": 3}) is False


async def test_every_operation_says_that_redis_is_away_and_works_again_after_a_restart(
    store: RedisStore, redis_server: RedisServer
) -> None:
    await store.put("grant", "a", {"n": 1}, owners=["user:1"])
    await asyncio.gather(*(store.get("grant", "a") for _ in range(30)))
    redis_server.kill()
    try:
        with pytest.raises(StoreUnavailableError):
            await store.ping()
        with pytest.raises(StoreUnavailableError):
            await store.get("grant", "a")
        with pytest.raises(StoreUnavailableError):
            await store.add("grant", "b", {})
        with pytest.raises(StoreUnavailableError):
            await store.put("grant", "b", {})
        with pytest.raises(StoreUnavailableError):
            await store.take("grant", "a")
        with pytest.raises(StoreUnavailableError):
            await store.swap("grant", "a", 1, {})
        with pytest.raises(StoreUnavailableError):
            await store.increment("k", window=60)
        with pytest.raises(StoreUnavailableError):
            [entry async for entry in store.list("grant")]
    finally:
        redis_server.start()
    entries = await asyncio.gather(*(store.get("grant", "a") for _ in range(60)))
    assert [entry.value for entry in entries if entry is not None] == [{"n": 1}] * 60


async def test_redis_without_memory_says_so_keeps_what_it_has_and_still_forgets(
    store: RedisStore, raw: redis.asyncio.Redis
) -> None:
    await store.put("grant", "a", {"n": 1}, owners=["user:1"])
    await store.increment("k", window=60)
    entry = await store.get("grant", "a")
    assert entry is not None
    await raw.config_set("maxmemory", "1")
    try:
        for refused in (
            store.ping(),
            store.put("grant", "a", {"n": 2}, owners=["user:2"]),
            store.add("grant", "b", {}, owners=["user:1"]),
            store.swap("grant", "a", entry.version, {"n": 2}),
            store.increment("k", window=60),
            store.increment("another", window=60),
        ):
            with pytest.raises(StoreUnavailableError, match="has no memory left"):
                await refused
        assert await store.get("grant", "a") == entry
        assert [one.key async for one in store.list("grant", "user:1")] == ["a"]
        assert await store.take("grant", "a") == {"n": 1}
    finally:
        await raw.config_set("maxmemory", "0")
    await store.ping()
    assert await store.increment("k", window=60) == 2


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            ResponseError("MISCONF Errors writing to the AOF file: No space left on device"),
            "its disk is full",
        ),
        (ResponseError("ERR Error running script: @user_script: 45: -OOM command not allowed"), "no memory"),
        (ReadOnlyError("You can't write against a read only replica."), "may only be read"),
        (BusyLoadingError("Redis is loading the dataset in memory"), "still reading its data"),
        (ConnectionError("Connection refused: 192.0.2.1"), "cannot be reached"),
    ],
    ids=["disk", "script", "replica", "loading", "away"],
)
def test_what_redis_says_is_put_into_words_without_addresses(error: Exception, words: str) -> None:
    assert words in redis_unavailable(error).reason
    assert "192.0.2.1" not in redis_unavailable(error).reason


async def test_a_wrong_password_is_an_unavailable_store(
    redis_server: RedisServer, raw: redis.asyncio.Redis
) -> None:
    await raw.config_set("requirepass", "right")
    right, wrong = (RedisStore(redis_server.url.replace("//", f"//:{word}@")) for word in ("right", "wrong"))
    try:
        await right.ping()
        with pytest.raises(StoreUnavailableError):
            await wrong.ping()
    finally:
        await raw.config_set("requirepass", "")
        await right.close()
        await wrong.close()


async def test_a_connection_closed_while_idle_is_opened_again(
    store: RedisStore, raw: redis.asyncio.Redis
) -> None:
    await store.put("grant", "a", {"n": 1})
    assert await raw.client_kill_filter(_type="normal", skipme=True) >= 1
    entry = await store.get("grant", "a")
    assert entry is not None
    assert entry.value == {"n": 1}


async def test_after_an_answer_that_cannot_be_read_every_answer_is_its_own(
    store: RedisStore, raw: redis.asyncio.Redis
) -> None:
    for number in range(20):
        await store.put("grant", str(number), {"n": number})
    await raw.hset("{mcp-oauth}:grant:3", "value", b"\xff")
    found = await asyncio.gather(*(store.get("grant", str(n)) for n in range(20)), return_exceptions=True)
    assert isinstance(found[3], Exception)
    for number in range(4, 20):
        entry = await store.get("grant", str(number))
        assert entry is not None
        assert entry.value == {"n": number}


async def test_a_redis_that_forgot_its_scripts_is_given_them_again(
    store: RedisStore, raw: redis.asyncio.Redis
) -> None:
    await store.put("grant", "a", {"n": 1})
    await raw.script_flush()
    await store.put("grant", "a", {"n": 2})
    entry = await store.get("grant", "a")
    assert entry is not None
    assert entry.value == {"n": 2}


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("rediss://localhost/1", redis.asyncio.SSLConnection),
        ("unix:///run/redis.sock", redis.asyncio.UnixDomainSocketConnection),
    ],
)
async def test_the_url_chooses_the_kind_of_connection(url: str, kind: type[Any]) -> None:
    assert RedisStore(url)._redis.connection_pool.connection_class is kind
