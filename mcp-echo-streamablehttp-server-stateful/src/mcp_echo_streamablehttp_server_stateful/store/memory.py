"""In this process only: for trying out, and for tests."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import replace

from ..entry import Entry
from .base import EVENT_BYTES, EVENT_SESSIONS, EVENTS, Event, StateFullError, Stream


class MemoryStore:
    def __init__(self, idle: float, clock: Callable[[], float] = time.time) -> None:
        self._idle = idle
        self._clock = clock
        self._entries: dict[str, Entry] = {}
        """In the order of their last use."""
        self._events: OrderedDict[str, deque[tuple[str, Event]]] = OrderedDict()
        # An id of an earlier process is not taken for one of this.
        self._epoch = secrets.token_hex(4)
        self._count = 0

    async def open(self, entry: Entry, own: int | None, total: int) -> list[str]:
        self._forget_idle()
        if entry.key in self._entries:
            return []
        kin = [other for other in self._entries.values() if other.kind == entry.kind]
        mine = [other.key for other in kin if other.owner == entry.owner]
        evicted = mine[: max(0, len(mine) - own + 1)] if own is not None else []
        if len(kin) - len(evicted) >= total:
            raise StateFullError
        for key in evicted:
            await self.delete(key)
        self._entries[entry.key] = entry
        return evicted

    async def find(self, key: str) -> Entry | None:
        entry = self._entries.get(key)
        return None if entry is None or entry.used_at <= self._clock() - self._idle else entry

    async def use(self, key: str, message: str | None = None) -> Entry | None:
        entry = await self.find(key)
        if entry is None:
            return None
        kept = entry.last_echo if message is None else message
        return self._put(replace(entry, calls=entry.calls + 1, last_echo=kept, used_at=self._clock()))

    async def renew(self, key: str) -> None:
        entry = await self.find(key)
        if entry is not None:
            self._put(replace(entry, used_at=self._clock()))

    async def delete(self, key: str) -> None:
        self._entries.pop(key, None)
        self._events.pop(key, None)

    async def append(self, key: str, stream: str, message: str) -> str:
        self._count += 1
        event = Event(f"{self._epoch}-{self._count}", message)
        if key in self._entries:
            kept = self._events.setdefault(key, deque(maxlen=EVENTS))
            self._events.move_to_end(key)
            kept.append((stream, event))
            while kept and sum(len(event.message.encode()) for _, event in kept) > EVENT_BYTES:
                kept.popleft()
            if len(self._events) > EVENT_SESSIONS:
                self._events.popitem(last=False)
        return event.id

    async def after(self, key: str, id_: str) -> Stream | None:
        kept = list(self._events.get(key, ()))
        place = next((place for place, (_, event) in enumerate(kept) if event.id == id_), None)
        if place is None:
            return None
        name = kept[place][0]
        return Stream(name, [event for stream, event in kept[place + 1 :] if stream == name])

    async def check(self) -> None:
        """Memory is always there."""

    async def aclose(self) -> None:
        self._entries.clear()

    def _put(self, entry: Entry) -> Entry:
        del self._entries[entry.key]
        self._entries[entry.key] = entry
        return entry

    def _forget_idle(self) -> None:
        oldest = self._clock() - self._idle
        for key in [key for key, entry in self._entries.items() if entry.used_at <= oldest]:
            del self._entries[key]
            self._events.pop(key, None)
