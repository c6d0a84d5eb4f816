"""Where state is kept, chosen by one address."""

from __future__ import annotations

import time
from collections.abc import Callable

from .base import Event, StateFullError, StateUnavailableError, Store, Stream

__all__ = [
    "MEMORY",
    "Event",
    "StateFullError",
    "StateUnavailableError",
    "Store",
    "Stream",
    "connect",
    "is_state_url",
]

SQLITE = "sqlite:///"
REDIS = ("redis://", "rediss://", "unix://")
MEMORY = "memory:"


def is_state_url(url: str) -> bool:
    return url == MEMORY or (url.startswith((SQLITE, *REDIS)) and not url.endswith("///"))


def connect(
    url: str, idle: float, clock: Callable[[], float] = time.time, password: str | None = None
) -> Store:
    """The store at `sqlite:///FILE`, `redis://…` or `memory:`; `idle` in seconds.

    `password` is Redis's, if the address has none.

    Raises StateUnavailableError when a file cannot be opened, and ValueError for a malformed address.
    """
    if url == MEMORY:
        from .memory import MemoryStore

        return MemoryStore(idle, clock)
    if url.startswith(SQLITE):
        from .sqlite import SqliteStore

        return SqliteStore(url.removeprefix(SQLITE), idle, clock)
    from .redis import RedisStore

    return RedisStore(url, idle, clock, password)
