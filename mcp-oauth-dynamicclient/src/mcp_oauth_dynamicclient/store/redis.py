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

from .base import PING, PING_WINDOW, Entry, Kind, new_version
from .reasons import redis_unavailable

PREFIX = "{mcp-oauth}:"
"""In braces: all keys share one slot of a Redis Cluster, as scripts over several keys need."""
PAGE = 200
CONNECTIONS = 32
"""Open at once; who comes later waits for a free one."""
TIMEOUT = 2.0
"""Seconds to wait for a free connection, for a new one, and for each answer."""
RETRIES = 2
FIELDS = ("value", "version", "expires")

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
local function unfile(indexes, key)
  if indexes then
    for _, index in ipairs(cjson.decode(indexes)) do redis.call('ZREM', index, key) end
  end
end
local function drop(entry, key)
  unfile(redis.call('HGET', entry, 'indexes'), key)
  redis.call('DEL', entry)
end
-- HSET comes before any other change: out of memory, Redis refuses it only while nothing is changed yet.
local function write(entry, key, value, version, expires, indexes, now)
  local before = redis.call('HGET', entry, 'indexes')
  redis.call('HSET', entry, 'value', value, 'version', version, 'expires', expires, 'indexes', indexes)
  unfile(before, key)
  file(indexes, key, expires, now)
  expire(entry, expires)
end
"""


PUT = (
    COMMON
    + """
local key, value, version, expires, indexes, now = unpack(ARGV)
write(KEYS[1], key, value, version, expires, indexes, now)
return 1
"""
)
ADD = (
    COMMON
    + """
local key, value, version, expires, indexes, now = unpack(ARGV)
if live(KEYS[1], now) then
  return redis.call('HGET', KEYS[1], 'version') == version and 1 or 0
end
write(KEYS[1], key, value, version, expires, indexes, now)
return 1
"""
)
TAKE = (
    COMMON
    + """
local key, now = unpack(ARGV)
if not live(KEYS[1], now) then return false end
local value = redis.call('HGET', KEYS[1], 'value')
drop(KEYS[1], key)
return value
"""
)
SWAP = (
    COMMON
    + """
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
)
INCREMENT = (
    COMMON
    + """
local ends, now = unpack(ARGV)
if not live(KEYS[1], now) then
  redis.call('HSET', KEYS[1], 'expires', ends, 'count', 0)
  expire(KEYS[1], ends)
end
return redis.call('HINCRBY', KEYS[1], 'count', 1)
"""
)


class RedisStore:
    def __init__(self, url: str, *, now: Callable[[], float] = time.time) -> None:
        self._now = now
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=TIMEOUT,
            socket_timeout=TIMEOUT,
            socket_connect_timeout=TIMEOUT,
            retry=Retry(ExponentialBackoff(cap=0.2, base=0.02), RETRIES),
            decode_responses=True,
        )
        self._redis = Redis.from_pool(pool)
        self._add = self._redis.register_script(ADD)
        self._put = self._redis.register_script(PUT)
        self._take = self._redis.register_script(TAKE)
        self._swap = self._redis.register_script(SWAP)
        self._increment = self._redis.register_script(INCREMENT)

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
        return bool(await _run(self._add([_name(kind, key)], arguments)))

    async def put(
        self,
        kind: Kind,
        key: str,
        value: dict[str, Any],
        *,
        expires_at: float | None = None,
        owners: Sequence[str] = (),
    ) -> None:
        arguments = self._arguments(kind, key, value, expires_at, owners)
        await _run(self._put([_name(kind, key)], arguments))

    async def get(self, kind: Kind, key: str) -> Entry | None:
        return self._entry(key, await _run(self._redis.hmget(_name(kind, key), FIELDS)))

    async def take(self, kind: Kind, key: str) -> dict[str, Any] | None:
        value = await _run(self._take([_name(kind, key)], [key, self._now()]))
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
        return bool(await _run(self._swap([_name(kind, key)], arguments)))

    async def delete(self, kind: Kind, key: str) -> bool:
        return await self.take(kind, key) is not None

    async def list(self, kind: Kind, owner: str | None = None) -> AsyncIterator[Entry]:
        keys = await _run(self._redis.zrangebyscore(_index(kind, owner), f"({self._now()}", "+inf"))
        for start in range(0, len(keys), PAGE):
            page = keys[start : start + PAGE]
            pipeline = self._redis.pipeline(transaction=False)
            for key in page:
                pipeline.hmget(_name(kind, key), FIELDS)
            for key, fields in zip(page, await _run(pipeline.execute()), strict=True):
                entry = self._entry(key, fields)
                if entry is not None:
                    yield entry

    async def increment(self, key: str, *, window: float) -> int:
        now = self._now()
        return int(await _run(self._increment([_name("counter", key)], [now + window, now])))

    async def ping(self) -> None:
        await self.get("key", "")
        await self.increment(PING, window=PING_WINDOW)

    async def close(self) -> None:
        await self._redis.aclose()

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
        raise redis_unavailable(error) from error


def _name(kind: str, key: str) -> str:
    return f"{PREFIX}{kind}:{key}"


def _index(kind: str, owner: str | None) -> str:
    return f"{PREFIX}@{kind}" if owner is None else f"{PREFIX}@{kind}:{owner}"


def _score(expires_at: float | None) -> str:
    return "inf" if expires_at is None else repr(float(expires_at))
