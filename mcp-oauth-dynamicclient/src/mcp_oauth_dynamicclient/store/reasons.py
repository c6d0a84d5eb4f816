"""Why a store cannot be used, in words for whoever asked, and when to ask again."""

from __future__ import annotations

import sqlite3

from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)
from redis.exceptions import TimeoutError as RedisTimeoutError

from ..errors import StoreUnavailableError

SOON, LATER = 2, 30
"""Seconds: for what passes by itself, and for what somebody has to mend."""

SQLITE = {
    sqlite3.SQLITE_BUSY: ("is locked by another process", SOON),
    sqlite3.SQLITE_LOCKED: ("is locked by another process", SOON),
    sqlite3.SQLITE_FULL: ("cannot be written, as the disk is full", LATER),
    sqlite3.SQLITE_CORRUPT: ("is damaged", LATER),
    sqlite3.SQLITE_NOTADB: ("is damaged", LATER),
    sqlite3.SQLITE_READONLY: ("may only be read", LATER),
    sqlite3.SQLITE_CANTOPEN: ("cannot be opened", LATER),
    sqlite3.SQLITE_PERM: ("cannot be opened", LATER),
    sqlite3.SQLITE_IOERR: ("cannot be read or written, as the disk fails", LATER),
}
"""By primary result code (https://www.sqlite.org/rescode.html)."""

REDIS: dict[type[Exception], tuple[str, int]] = {
    OutOfMemoryError: ("has no memory left", LATER),
    BusyLoadingError: ("is still reading its data", SOON),
    ReadOnlyError: ("may only be read", SOON),  # a replica, while another is made primary
    AuthenticationError: ("refuses the password", LATER),
    NoPermissionError: ("refuses this user", LATER),
    RedisTimeoutError: ("does not answer", SOON),
    TimeoutError: ("does not answer", SOON),
}
REPLIES: dict[str, type[Exception]] = {
    "OOM": OutOfMemoryError,
    "READONLY": ReadOnlyError,
    "NOAUTH": AuthenticationError,
}
"""What an error inside a script begins with, which reaches us as a plain ResponseError."""


def sqlite_unavailable(error: Exception) -> StoreUnavailableError:
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return StoreUnavailableError("cannot be opened", LATER)
    return StoreUnavailableError(*SQLITE.get(code & 0xFF, ("cannot be used", LATER)))


def redis_unavailable(error: Exception) -> StoreUnavailableError:
    if type(error) is ResponseError:
        if "MISCONF" in str(error):
            return StoreUnavailableError("cannot be written, as its disk is full or fails", LATER)
        for word, kind in REPLIES.items():
            if word in str(error):
                return StoreUnavailableError(*REDIS[kind])
        return StoreUnavailableError("cannot be used", LATER)
    for kind, reason in REDIS.items():
        if isinstance(error, kind):
            return StoreUnavailableError(*reason)
    return StoreUnavailableError("cannot be reached", SOON)
