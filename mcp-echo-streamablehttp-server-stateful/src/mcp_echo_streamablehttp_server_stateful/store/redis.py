"""In Redis: shared by replicas on several machines.

Everything stands under `echo:`, so that a Redis user with `~echo:*` sees only that, and expires by itself.
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable
from typing import Any, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from ..entry import Entry
from .base import EVENT_BYTES, EVENT_SESSIONS, EVENTS, Event, StateFullError, StateUnavailableError, Stream

PATIENCE = 3.0
"""Seconds that Redis has for an answer."""

# KEYS: the record, the owner's records by use, all records of the kind by use.
_OPEN = """
local now, idle, own, total = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - idle)
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now - idle)
if redis.call('ZSCORE', KEYS[3], ARGV[5]) then return {} end
local evicted = {}
if own > 0 then
    local surplus = redis.call('ZCARD', KEYS[2]) - own + 1
    if surplus > 0 then evicted = redis.call('ZRANGE', KEYS[2], 0, surplus - 1) end
end
if redis.call('ZCARD', KEYS[3]) - #evicted >= total then return 'full' end
for _, key in ipairs(evicted) do
    redis.call('DEL', 'echo:' .. key, 'echo:events:' .. key, 'echo:size:' .. key)
    redis.call('ZREM', KEYS[2], key)
    redis.call('ZREM', KEYS[3], key)
    redis.call('ZREM', 'echo:events', key)
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], unpack(ARGV, 6))
for place = 1, 3 do
    if place > 1 then redis.call('ZADD', KEYS[place], now, ARGV[5]) end
    redis.call('PEXPIRE', KEYS[place], math.ceil(idle * 1000) + 60000)
end
return evicted
"""
# KEYS: the record. ARGV: now, idle, its key, calls to count, whether there is a message, the message.
_USE = """
local now, idle = tonumber(ARGV[1]), tonumber(ARGV[2])
local used = redis.call('HGET', KEYS[1], 'used_at')
if not used or tonumber(used) <= now - idle then return {} end
redis.call('HINCRBY', KEYS[1], 'calls', ARGV[4])
redis.call('HSET', KEYS[1], 'used_at', ARGV[1])
if ARGV[5] == '1' then redis.call('HSET', KEYS[1], 'last_echo', ARGV[6]) end
local kind, owner = unpack(redis.call('HMGET', KEYS[1], 'kind', 'owner'))
local places = {KEYS[1], 'echo:of:' .. kind .. ':' .. owner, 'echo:all:' .. kind}
for place, key in ipairs(places) do
    if place > 1 then redis.call('ZADD', key, now, ARGV[3]) end
    redis.call('PEXPIRE', key, math.ceil(idle * 1000) + 60000)
end
return redis.call('HGETALL', KEYS[1])
"""
_DELETE = """
local kind, owner = unpack(redis.call('HMGET', KEYS[1], 'kind', 'owner'))
if not kind then return 0 end
redis.call('ZREM', 'echo:of:' .. kind .. ':' .. owner, ARGV[1])
redis.call('ZREM', 'echo:all:' .. kind, ARGV[1])
redis.call('ZREM', 'echo:events', ARGV[1])
return redis.call('DEL', KEYS[1], 'echo:events:' .. ARGV[1], 'echo:size:' .. ARGV[1])
"""
# KEYS: the record, its events, their size, all records that have events.
# ARGV: now, idle, its key, the stream, the message, and the bounds.
_APPEND = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 'not-kept' end
local life = math.ceil(tonumber(ARGV[2]) * 1000) + 60000
local id = redis.call('XADD', KEYS[2], '*', 's', ARGV[4], 'm', ARGV[5])
local size = redis.call('INCRBY', KEYS[3], #ARGV[5])
while redis.call('XLEN', KEYS[2]) > tonumber(ARGV[6]) or size > tonumber(ARGV[7]) do
    local oldest = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
    if not oldest then break end
    redis.call('XDEL', KEYS[2], oldest[1])
    size = redis.call('DECRBY', KEYS[3], #oldest[2][4])
end
redis.call('ZADD', KEYS[4], ARGV[1], ARGV[3])
while redis.call('ZCARD', KEYS[4]) > tonumber(ARGV[8]) do
    local key = redis.call('ZPOPMIN', KEYS[4])[1]
    redis.call('DEL', 'echo:events:' .. key, 'echo:size:' .. key)
end
for place = 2, 4 do redis.call('PEXPIRE', KEYS[place], life) end
return id
"""
_ID = re.compile(r"[0-9]{1,18}-[0-9]{1,18}", re.ASCII)


class RedisStore:
    def __init__(
        self, url: str, idle: float, clock: Callable[[], float] = time.time, password: str | None = None
    ) -> None:
        """Raises ValueError for a malformed address."""
        self._idle = idle
        self._clock = clock
        self._redis = Redis.from_url(
            url,
            password=password,
            decode_responses=True,
            socket_timeout=PATIENCE,
            socket_connect_timeout=PATIENCE,
        )
        self._open = self._redis.register_script(_OPEN)
        self._use = self._redis.register_script(_USE)
        self._delete = self._redis.register_script(_DELETE)
        self._append = self._redis.register_script(_APPEND)

    async def open(self, entry: Entry, own: int | None, total: int) -> list[str]:
        fields: dict[str, str | int] = {
            "kind": entry.kind,
            "owner": entry.owner,
            "first_seen": repr(entry.first_seen),
            "used_at": repr(entry.used_at),
            "calls": entry.calls,
            "hello": entry.hello,
        }
        if entry.last_echo is not None:
            fields["last_echo"] = entry.last_echo
        flat = [part for pair in fields.items() for part in pair]
        keys = [f"echo:{entry.key}", f"echo:of:{entry.kind}:{entry.owner}", f"echo:all:{entry.kind}"]
        arguments: list[str | int | float] = [
            repr(self._clock()),
            self._idle,
            own or 0,
            total,
            entry.key,
            *flat,
        ]
        answer = await self._asked(self._open(keys=keys, args=arguments))
        if answer == "full":
            raise StateFullError
        return list(answer)

    async def find(self, key: str) -> Entry | None:
        found = await self._asked(cast("Awaitable[dict[str, str]]", self._redis.hgetall(f"echo:{key}")))
        entry = _entry(key, found)
        return None if entry is None or entry.used_at <= self._clock() - self._idle else entry

    async def use(self, key: str, message: str | None = None) -> Entry | None:
        flat = await self._count(key, 1, message)
        return _entry(key, dict(zip(flat[::2], flat[1::2], strict=True)))

    async def renew(self, key: str) -> None:
        await self._count(key, 0, None)

    async def _count(self, key: str, calls: int, message: str | None) -> list[str]:
        kept = (0, "") if message is None else (1, message)
        arguments: list[str | int | float] = [repr(self._clock()), self._idle, key, calls, *kept]
        return list(await self._asked(self._use(keys=[f"echo:{key}"], args=arguments)))

    async def delete(self, key: str) -> None:
        await self._asked(self._delete(keys=[f"echo:{key}"], args=[key]))

    async def append(self, key: str, stream: str, message: str) -> str:
        keys = [f"echo:{key}", f"echo:events:{key}", f"echo:size:{key}", "echo:events"]
        bounds = (EVENTS, EVENT_BYTES, EVENT_SESSIONS)
        arguments: list[str | int | float] = [repr(self._clock()), self._idle, key, stream, message, *bounds]
        return str(await self._asked(self._append(keys=keys, args=arguments)))

    async def after(self, key: str, id_: str) -> Stream | None:
        if not _ID.fullmatch(id_):
            return None
        found = await self._asked(self._redis.xrange(f"echo:events:{key}", id_))
        if not found or found[0][0] != id_:
            return None
        name = found[0][1]["s"]
        return Stream(name, [Event(id_, kept["m"]) for id_, kept in found[1:] if kept["s"] == name])

    async def check(self) -> None:
        await self._asked(self._redis.set("echo:health", "1", px=1000))

    async def aclose(self) -> None:
        await self._redis.aclose()

    async def _asked(self, answer: Awaitable[Any]) -> Any:
        try:
            return await answer
        except (RedisError, OSError) as error:
            raise StateUnavailableError(str(error)) from error


def _entry(key: str, found: dict[str, str]) -> Entry | None:
    if not found:
        return None
    return Entry(
        key,
        cast("Any", found["kind"]),
        found["owner"],
        float(found["first_seen"]),
        float(found["used_at"]),
        int(found["calls"]),
        found.get("last_echo"),
        found["hello"],
    )
