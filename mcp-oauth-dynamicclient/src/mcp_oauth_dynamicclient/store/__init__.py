"""Where state lives: one interface, SQLite and Redis."""

from __future__ import annotations

from ..errors import SettingsError
from .base import Entry, Kind, Limit, Store

__all__ = ["Entry", "Kind", "Limit", "Store", "open_store"]


def open_store(url: str) -> Store:
    """The store named by `STORE_URL`; nothing is connected before its first use.

    `sqlite:///relative/path`, `sqlite:////absolute/path`, `redis://[:password@]host[:port][/db]`, `rediss://…`.
    """
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite" and rest.startswith("/") and len(rest) > 1:
        from .sqlite import SqliteStore

        return SqliteStore(rest[1:])
    if scheme in ("redis", "rediss") and rest:
        from .redis import RedisStore

        return RedisStore(url)
    raise SettingsError("STORE_URL: must be sqlite:///path, redis://host:port/0 or rediss://host:port/0")
