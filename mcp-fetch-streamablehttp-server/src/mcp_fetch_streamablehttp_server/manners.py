"""Not being a burden: few requests to one site at once, its Crawl-delay between them, Retry-After obeyed."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime

from .errors import FetchError

LONGEST_DELAY = 30.0
LONGEST_RETRY = 3600.0
MOST_SITES = 2000


@dataclass
class _Site:
    slots: asyncio.Semaphore
    next_at: float = 0.0
    retry_at: float = 0.0
    users: int = field(default=0)


class Manners:
    """`at_once` requests to one host and port; all times in seconds of `clock`."""

    def __init__(self, at_once: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.at_once = at_once
        self.clock = clock
        self._sites: OrderedDict[str, _Site] = OrderedDict()

    @asynccontextmanager
    async def visit(self, site: str, delay: float = 0.0) -> AsyncIterator[None]:
        """Wait for a turn at the site. Raises FetchError while the site wants to be left alone."""
        known = self._site(site)
        self._refuse_early(site, known)
        known.users += 1
        try:
            async with known.slots:
                self._refuse_early(site, known)
                wait = known.next_at - self.clock()
                known.next_at = max(known.next_at, self.clock()) + min(delay, LONGEST_DELAY)
                if wait > 0:
                    await asyncio.sleep(wait)
                yield
        finally:
            known.users -= 1

    def _refuse_early(self, site: str, known: _Site) -> None:
        left = known.retry_at - self.clock()
        if left > 0:
            raise FetchError(f"{site} asks not to be called again before {left:.0f} seconds have passed.")

    def told(self, site: str, status: int, retry_after: str | None) -> None:
        """Remember the Retry-After of a 429 or 503 (RFC 9110 10.2.3)."""
        seconds = retry_seconds(retry_after) if status in (429, 503) else None
        if seconds:
            self._site(site).retry_at = self.clock() + min(seconds, LONGEST_RETRY)

    def _site(self, name: str) -> _Site:
        known = self._sites.get(name)
        if known is None:
            known = self._sites[name] = _Site(asyncio.Semaphore(self.at_once))
        self._sites.move_to_end(name)
        if len(self._sites) > MOST_SITES:
            idle = next((site for site, state in self._sites.items() if not state.users), None)
            if idle is not None:
                del self._sites[idle]
        return known


def retry_seconds(text: str | None) -> float | None:
    if not text:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        return parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
