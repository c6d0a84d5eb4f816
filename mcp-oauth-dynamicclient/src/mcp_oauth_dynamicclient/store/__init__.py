"""Where state lives: one interface, SQLite and Redis."""

from .base import Entry, Kind, Store

__all__ = ["Entry", "Kind", "Store"]
