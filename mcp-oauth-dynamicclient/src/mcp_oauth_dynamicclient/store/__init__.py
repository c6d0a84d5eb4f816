"""Where state lives: one interface, SQLite and Redis."""

from __future__ import annotations

from pathlib import Path

from ..errors import SettingsError
from .base import Entry, Kind, Store
from .table import Table, Updated

__all__ = ["Entry", "Kind", "Store", "Table", "Updated", "open_store"]


def open_store(url: str) -> Store:
    """The store named by `STORE_URL`; nothing is connected before its first use.

    `sqlite:///relative/path`, `sqlite:////absolute/path`, `redis://[:password@]host[:port][/db]`, `rediss://…`.
    Raises SettingsError for anything else, and for a folder that does not exist.
    """
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite" and rest.startswith("/") and len(rest) > 1:
        from .sqlite import SqliteStore

        folder = Path(rest[1:]).parent
        if not folder.is_dir():
            raise SettingsError(f"STORE_URL: the folder {folder} does not exist")
        return SqliteStore(rest[1:])
    if scheme in ("redis", "rediss") and rest:
        from .redis import RedisStore

        return RedisStore(url)
    raise SettingsError("STORE_URL: must be sqlite:///path, redis://host:port/0 or rediss://host:port/0")
