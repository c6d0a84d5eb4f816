"""Fetched documents, kept as long as HTTP allows within our bounds, in bounded memory."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from ..json_object import parse_object
from ..store import Store
from .fetch import MAX_AGE, MIN_AGE, AddressRefusedError, Fetcher, FetchError

CAPACITY = 8 * 1024 * 1024
"""Bytes of documents and their URLs kept at most; the least recently used goes first."""
OVERHEAD = 1024
"""Bytes that count for each document besides."""
FETCHES_PER_MINUTE = 30
"""From one host, for all clients together."""

Check = Callable[[str, dict[str, Any]], None]
"""Raises when a document at a URL cannot be used; such a document is not kept."""


@dataclass(frozen=True, slots=True)
class Copy:
    body: bytes
    """The text: read, JSON of a stranger's can take many times as much memory (`[[],[],[]…`)."""
    fetched_at: float
    fresh_until: float
    usable_until: float
    builtin: bool = False

    @property
    def value(self) -> dict[str, Any]:
        return parse_object(self.body)


class FetchCache:
    def __init__(self, store: Store, fetcher: Fetcher, now: Callable[[], float]) -> None:
        self._store = store
        self._fetcher = fetcher
        self._now = now
        self._copies: OrderedDict[str, Copy] = OrderedDict()
        self._size = 0

    async def load(
        self, url: str, check: Check, *, builtin: dict[str, Any] | None = None, renew: bool = False
    ) -> Copy:
        """A fresh copy, from memory or the host. While the host does not answer: a copy of less than a day,
        or the built-in one, for a minute until the host is asked again. Raises FetchError without either.

        `renew` asks the host again unless that was done a minute ago."""
        now = self._now()
        known = self._copies.get(url)
        if known and now < known.fresh_until and not (renew and now - known.fetched_at >= MIN_AGE):
            self._copies.move_to_end(url)
            return known
        try:
            copy = await self._fetch(url, check)
        except AddressRefusedError:
            raise
        except FetchError as error:
            if known and not known.builtin and now < known.usable_until and not error.gone:
                copy = replace(known, fresh_until=min(now + MIN_AGE, known.usable_until))
            elif builtin is not None:
                body = json.dumps(builtin).encode()
                copy = Copy(body, now, now + MIN_AGE, now + MIN_AGE, builtin=True)
            else:
                raise
        self._keep(url, copy)
        return copy

    async def _fetch(self, url: str, check: Check) -> Copy:
        host = urlsplit(url).netloc.lower()
        if await self._store.increment(f"document:{host}", window=60) > FETCHES_PER_MINUTE:
            raise FetchError("its host is being asked too often")
        fetched = await self._fetcher.get(url)
        try:
            check(url, fetched.value)
        except Exception:
            self._forget(url)
            raise
        now = self._now()
        return Copy(fetched.body, now, now + fetched.max_age, now + MAX_AGE)

    def _keep(self, url: str, copy: Copy) -> None:
        self._forget(url)
        self._copies[url] = copy
        self._size += _size(url, copy)
        while self._size > CAPACITY:
            self._forget(next(iter(self._copies)))

    def _forget(self, url: str) -> None:
        copy = self._copies.pop(url, None)
        if copy is not None:
            self._size -= _size(url, copy)


def _size(url: str, copy: Copy) -> int:
    return len(url) + len(copy.body) + OVERHEAD
