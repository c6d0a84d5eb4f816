"""What only the Redis store promises: nothing is left behind, and an outage is told, not hidden."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis.asyncio
from mcp_oauth_dynamicclient.errors import StoreUnavailable
from mcp_oauth_dynamicclient.store.redis import ADD, SWAP, RedisStore


@pytest.fixture
async def store(redis_server: Any, clock: Any) -> AsyncIterator[RedisStore]:
    store = RedisStore(redis_server.url, now=clock)
    yield store
    await store.close()


@pytest.fixture
async def raw(redis_server: Any) -> AsyncIterator[redis.asyncio.Redis]:
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
    store: RedisStore, raw: redis.asyncio.Redis, clock: Any
) -> None:
    await store.put("grant", "a", {}, expires_at=clock() + 100, owners=["user:1"])
    await store.put("grant", "b", {}, expires_at=clock() + 200, owners=["user:1"])
    assert 190 < await raw.ttl("{mcp-oauth}:@grant:user:1") <= 201
    assert 90 < await raw.ttl("{mcp-oauth}:grant:a") <= 101
    await store.put("grant", "c", {}, owners=["user:1"])
    assert await raw.ttl("{mcp-oauth}:@grant:user:1") == -1


async def test_expired_members_leave_an_owners_index_with_the_next_write(
    store: RedisStore, raw: redis.asyncio.Redis, clock: Any
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
    store: RedisStore, clock: Any
) -> None:
    arguments = store._arguments("jti", "a", {"n": 1}, None, ())
    assert await store._batch.script(ADD, ["{mcp-oauth}:jti:a"], arguments) == 1
    assert await store._batch.script(ADD, ["{mcp-oauth}:jti:a"], arguments) == 1
    entry = await store.get("jti", "a")
    assert entry is not None
    again = ["a", entry.version, '{"n": 2}', 4711, "inf", clock()]
    assert await store._batch.script(SWAP, ["{mcp-oauth}:jti:a"], again) == 1
    assert await store._batch.script(SWAP, ["{mcp-oauth}:jti:a"], again) == 1
    assert await store.add("jti", "a", {"n": 3}) is False


async def test_every_operation_says_that_redis_is_away_and_works_again_after_a_restart(
    store: RedisStore, redis_server: Any
) -> None:
    await store.put("grant", "a", {"n": 1}, owners=["user:1"])
    await asyncio.gather(*(store.get("grant", "a") for _ in range(30)))
    redis_server.kill()
    try:
        with pytest.raises(StoreUnavailable):
            await store.ping()
        with pytest.raises(StoreUnavailable):
            await store.get("grant", "a")
        with pytest.raises(StoreUnavailable):
            await store.add("grant", "b", {})
        with pytest.raises(StoreUnavailable):
            await store.put("grant", "b", {})
        with pytest.raises(StoreUnavailable):
            await store.take("grant", "a")
        with pytest.raises(StoreUnavailable):
            await store.swap("grant", "a", 1, {})
        with pytest.raises(StoreUnavailable):
            await store.increment("k", window=60)
        with pytest.raises(StoreUnavailable):
            [entry async for entry in store.list("grant")]
    finally:
        redis_server.start()
    entries = await asyncio.gather(*(store.get("grant", "a") for _ in range(60)))
    assert [entry.value for entry in entries if entry is not None] == [{"n": 1}] * 60


async def test_a_wrong_password_is_an_unavailable_store(redis_server: Any, raw: redis.asyncio.Redis) -> None:
    await raw.config_set("requirepass", "right")
    right, wrong = (RedisStore(redis_server.url.replace("//", f"//:{word}@")) for word in ("right", "wrong"))
    try:
        await right.ping()
        with pytest.raises(StoreUnavailable):
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
    assert isinstance(RedisStore(url)._batch._connection, kind)
