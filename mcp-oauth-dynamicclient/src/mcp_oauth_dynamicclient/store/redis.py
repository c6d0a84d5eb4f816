"""The store in Redis, for more than one replica.

An entry is a hash {value, version, expires, indexes}. Every entry is a member of its kind's index and of one
index per owner: sorted sets scored by expiry, so that what has expired is swept with the next write and an
index dies with its last member. What must be atomic is one Lua script. Every script may be sent twice (a
connection lost before the answer) and still does its work once, because versions are unique.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from pydantic_core import from_json, to_json
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import RedisError

from ..errors import StoreUnavailable
from .base import Entry, Kind, Limit, new_version
from .batch import Batch

PREFIX = "{mcp-oauth}:"
"""In braces: all keys share one slot of a Redis Cluster, as scripts over several keys need."""
TIMEOUT = 2.0
CONNECTIONS = 64
PAGE = 200

COMMON = """
local function live(entry, now)
  local expires = redis.call('HGET', entry, 'expires')
  return expires and tonumber(expires) > tonumber(now)
end
local function file(indexes, key, expires, now)
  for _, index in ipairs(cjson.decode(indexes)) do
    redis.call('ZREMRANGEBYSCORE', index, '-inf', now)
    redis.call('ZADD', index, expires, key)
    local last = redis.call('ZREVRANGE', index, 0, 0, 'WITHSCORES')[2]
    if last == 'inf' then redis.call('PERSIST', index)
    else redis.call('PEXPIREAT', index, string.format('%.0f', tonumber(last) * 1000 + 1)) end
  end
end
local function expire(entry, expires)
  if expires == 'inf' then redis.call('PERSIST', entry)
  else redis.call('PEXPIREAT', entry, string.format('%.0f', tonumber(expires) * 1000 + 1)) end
end
local function drop(entry, key)
  local indexes = redis.call('HGET', entry, 'indexes')
  if indexes then
    for _, index in ipairs(cjson.decode(indexes)) do redis.call('ZREM', index, key) end
  end
  redis.call('DEL', entry)
end
local function write(entry, key, value, version, expires, indexes, now)
  drop(entry, key)
  redis.call('HSET', entry, 'value', value, 'version', version, 'expires', expires, 'indexes', indexes)
  file(indexes, key, expires, now)
  expire(entry, expires)
end
local function count(counter, ends, now)
  if not live(counter, now) then
    redis.call('DEL', counter)
    redis.call('HSET', counter, 'expires', ends)
    expire(counter, ends)
  end
  return redis.call('HINCRBY', counter, 'count', 1)
end
"""
PUT = """
local key, value, version, expires, indexes, now = unpack(ARGV)
write(KEYS[1], key, value, version, expires, indexes, now)
return 1
"""
ADD = """
local key, value, version, expires, indexes, now = unpack(ARGV)
if live(KEYS[1], now) then
  return redis.call('HGET', KEYS[1], 'version') == version and 1 or 0
end
write(KEYS[1], key, value, version, expires, indexes, now)
return 1
"""
TAKE = """
local key, now = unpack(ARGV)
if not live(KEYS[1], now) then return false end
local value = redis.call('HGET', KEYS[1], 'value')
drop(KEYS[1], key)
return value
"""
SWAP = """
local key, old, value, version, expires, now = unpack(ARGV)
if not live(KEYS[1], now) then return 0 end
local found = redis.call('HGET', KEYS[1], 'version')
if found == version then return 1 end
if found ~= old then return 0 end
redis.call('HSET', KEYS[1], 'value', value, 'version', version, 'expires', expires)
file(redis.call('HGET', KEYS[1], 'indexes'), key, expires, now)
expire(KEYS[1], expires)
return 1
"""
INCREMENT = """
local ends, now = unpack(ARGV)
return count(KEYS[1], ends, now)
"""
PUT_WITHIN = """
local key, value, version, expires, indexes, now, allowed, ends = unpack(ARGV)
if count(KEYS[2], ends, now) > tonumber(allowed) then return 0 end
write(KEYS[1], key, value, version, expires, indexes, now)
return 1
"""


class RedisStore:
    def __init__(self, url: str, *, now: Callable[[], float] = time.time) -> None:
        self._now = now
        pool: BlockingConnectionPool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=TIMEOUT,
            socket_timeout=TIMEOUT,
            socket_connect_timeout=TIMEOUT,
            retry=Retry(ExponentialBackoff(cap=0.2, base=0.02), retries=2),
            decode_responses=True,
        )
        self._redis: Redis = Redis.from_pool(pool)
        self._batch = Batch(self._redis)
        script = self._redis.register_script
        self._put, self._add = script(COMMON + PUT), script(COMMON + ADD)
        self._take, self._swap = script(COMMON + TAKE), script(COMMON + SWAP)
        self._increment, self._put_within = script(COMMON + INCREMENT), script(COMMON + PUT_WITHIN)

    async def add(
        self,
        kind: Kind,
        key: str,
        value: dict[str, Any],
        *,
        expires_at: float | None = None,
        owners: Sequence[str] = (),
    ) -> bool:
        arguments = self._arguments(kind, key, value, expires_at, owners)
        return bool(await _run(self._batch.script(self._add, [_name(kind, key)], arguments)))

    async def put(
        self,
        kind: Kind,
        key: str,
        value: dict[str, Any],
        *,
        expires_at: float | None = None,
        owners: Sequence[str] = (),
    ) -> None:
        await _run(
            self._batch.script(
                self._put, [_name(kind, key)], self._arguments(kind, key, value, expires_at, owners)
            )
        )

    async def get(self, kind: Kind, key: str) -> Entry | None:
        fields = await _run(self._batch.command("HMGET", _name(kind, key), "value", "version", "expires"))
        return self._entry(key, fields)

    async def take(self, kind: Kind, key: str) -> dict[str, Any] | None:
        value = await _run(self._batch.script(self._take, [_name(kind, key)], [key, self._now()]))
        return None if value is None else from_json(value)

    async def swap(
        self,
        kind: Kind,
        key: str,
        version: int,
        value: dict[str, Any],
        *,
        expires_at: float | None = None,
    ) -> bool:
        arguments: Sequence[Any] = [
            key,
            version,
            to_json(value),
            new_version(),
            _score(expires_at),
            self._now(),
        ]
        return bool(await _run(self._batch.script(self._swap, [_name(kind, key)], arguments)))

    async def delete(self, kind: Kind, key: str) -> bool:
        return await self.take(kind, key) is not None

    async def list(self, kind: Kind, owner: str | None = None) -> AsyncIterator[Entry]:
        members = self._redis.zrangebyscore(_index(kind, owner), f"({self._now()}", "+inf")
        keys = await _run(members)
        for start in range(0, len(keys), PAGE):
            page = keys[start : start + PAGE]
            pipeline = self._redis.pipeline(transaction=False)
            for key in page:
                pipeline.hmget(_name(kind, key), "value", "version", "expires")
            for key, fields in zip(page, await _run(pipeline.execute()), strict=True):
                entry = self._entry(key, fields)
                if entry is not None:
                    yield entry

    async def increment(self, key: str, *, window: float) -> int:
        now = self._now()
        return int(
            await _run(self._batch.script(self._increment, [_name("counter", key)], [now + window, now]))
        )

    async def put_within(
        self,
        limit: Limit,
        kind: Kind,
        key: str,
        value: dict[str, Any],
        *,
        expires_at: float | None = None,
    ) -> bool:
        keys = [_name(kind, key), _name("counter", limit.counter)]
        arguments = self._arguments(kind, key, value, expires_at, ())
        ends = self._now() + limit.window
        return bool(await _run(self._batch.script(self._put_within, keys, [*arguments, limit.allowed, ends])))

    async def ping(self) -> None:
        await _run(self._redis.exists(_index("key", None)))

    async def close(self) -> None:
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()

    def _arguments(
        self, kind: Kind, key: str, value: dict[str, Any], expires_at: float | None, owners: Sequence[str]
    ) -> Sequence[Any]:
        indexes = [_index(kind, None), *(_index(kind, owner) for owner in dict.fromkeys(owners))]
        return [key, to_json(value), new_version(), _score(expires_at), to_json(indexes), self._now()]

    def _entry(self, key: str, fields: Sequence[str | None]) -> Entry | None:
        value, version, expires = fields
        if value is None or version is None or expires is None:
            return None
        if expires == "inf":
            return Entry(key, from_json(value), int(version), None)
        expires_at = float(expires)
        return Entry(key, from_json(value), int(version), expires_at) if expires_at > self._now() else None


async def _run(command: Awaitable[Any]) -> Any:
    try:
        return await command
    except (RedisError, OSError) as error:
        raise StoreUnavailable from error


def _name(kind: str, key: str) -> str:
    return f"{PREFIX}{kind}:{key}"


def _index(kind: str, owner: str | None) -> str:
    return f"{PREFIX}@{kind}" if owner is None else f"{PREFIX}@{kind}:{owner}"


def _score(expires_at: float | None) -> str:
    return "inf" if expires_at is None else repr(float(expires_at))
