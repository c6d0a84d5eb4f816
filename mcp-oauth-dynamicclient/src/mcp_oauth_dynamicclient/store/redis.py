"""The store in Redis, for more than one replica.

An entry is a hash {value, version, expires, indexes}. Every entry is a member of its kind's index and of one
index per owner: sorted sets scored by expiry, so that what has expired is swept with the next write and an
index dies with its last member. What must be atomic is one Lua script. Every script may be sent twice (a
connection lost before the answer) and still does its work once, because versions are unique.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from pydantic_core import from_json, to_json
from redis.asyncio import Connection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.connection import HiredisRespSerializer
from redis.exceptions import RedisError

from ..errors import StoreUnavailable
from .base import Entry, Kind, Limit, new_version
from .batch import Batch, Script

PREFIX = "{mcp-oauth}:"
"""In braces: all keys share one slot of a Redis Cluster, as scripts over several keys need."""
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


def _script(work: str) -> Script:
    return Script(COMMON + work)


PUT = _script("""
local key, value, version, expires, indexes, now = unpack(ARGV)
write(KEYS[1], key, value, version, expires, indexes, now)
return 1
""")
ADD = _script("""
local key, value, version, expires, indexes, now = unpack(ARGV)
if live(KEYS[1], now) then
  return redis.call('HGET', KEYS[1], 'version') == version and 1 or 0
end
write(KEYS[1], key, value, version, expires, indexes, now)
return 1
""")
TAKE = _script("""
local key, now = unpack(ARGV)
if not live(KEYS[1], now) then return false end
local value = redis.call('HGET', KEYS[1], 'value')
drop(KEYS[1], key)
return value
""")
SWAP = _script("""
local key, old, value, version, expires, now = unpack(ARGV)
if not live(KEYS[1], now) then return 0 end
local found = redis.call('HGET', KEYS[1], 'version')
if found == version then return 1 end
if found ~= old then return 0 end
redis.call('HSET', KEYS[1], 'value', value, 'version', version, 'expires', expires)
file(redis.call('HGET', KEYS[1], 'indexes'), key, expires, now)
expire(KEYS[1], expires)
return 1
""")
INCREMENT = _script("""
local ends, now = unpack(ARGV)
return count(KEYS[1], ends, now)
""")
PUT_WITHIN = _script("""
local key, value, version, expires, indexes, now, allowed, ends = unpack(ARGV)
if count(KEYS[2], ends, now) > tonumber(allowed) then return 0 end
write(KEYS[1], key, value, version, expires, indexes, now)
return 1
""")


class PackingConnection(Connection):
    """Packs commands by hiredis, which redis-py does by itself only in its blocking connections."""

    _serializer = HiredisRespSerializer()

    def pack_command(self, *args: Any) -> list[bytes]:
        packed: list[bytes] = self._serializer.pack(*args)
        return packed


class RedisStore:
    def __init__(self, url: str, *, now: Callable[[], float] = time.time) -> None:
        self._now = now
        # A pool for its reading of the URL: `rediss` and `unix` bring connections of their own.
        pool: Any = ConnectionPool.from_url(
            url, connection_class=PackingConnection, retry=Retry(NoBackoff(), 0), decode_responses=True
        )
        self._batch = Batch(pool.make_connection())

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
        return bool(await _run(self._batch.script(ADD, [_name(kind, key)], arguments)))

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
            self._batch.script(PUT, [_name(kind, key)], self._arguments(kind, key, value, expires_at, owners))
        )

    async def get(self, kind: Kind, key: str) -> Entry | None:
        fields = await _run(self._batch.command("HMGET", _name(kind, key), "value", "version", "expires"))
        return self._entry(key, fields)

    async def take(self, kind: Kind, key: str) -> dict[str, Any] | None:
        value = await _run(self._batch.script(TAKE, [_name(kind, key)], [key, self._now()]))
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
        return bool(await _run(self._batch.script(SWAP, [_name(kind, key)], arguments)))

    async def delete(self, kind: Kind, key: str) -> bool:
        return await self.take(kind, key) is not None

    async def list(self, kind: Kind, owner: str | None = None) -> AsyncIterator[Entry]:
        members = self._batch.command("ZRANGEBYSCORE", _index(kind, owner), f"({self._now()}", "+inf")
        keys = await _run(members)
        for start in range(0, len(keys), PAGE):
            page = keys[start : start + PAGE]
            for entry in await asyncio.gather(*(self.get(kind, key) for key in page)):
                if entry is not None:
                    yield entry

    async def increment(self, key: str, *, window: float) -> int:
        now = self._now()
        return int(await _run(self._batch.script(INCREMENT, [_name("counter", key)], [now + window, now])))

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
        return bool(await _run(self._batch.script(PUT_WITHIN, keys, [*arguments, limit.allowed, ends])))

    async def ping(self) -> None:
        await _run(self._batch.command("EXISTS", _index("key", None)))

    async def close(self) -> None:
        await self._batch.close()

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
