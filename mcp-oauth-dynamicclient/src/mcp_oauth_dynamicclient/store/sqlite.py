"""The store in one SQLite file: nothing to install, survives restarts, several processes on one machine.

Every operation is one short transaction on the event loop's own thread: it writes to the page cache, which
takes less time than handing it to another thread would. What waits for a disk, the checkpoint, has a thread;
what waits for another process (the CLI) sleeps and tries again. WAL lets such processes read and write beside
a running server; `synchronous=NORMAL` keeps every committed change through a crash of the process.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import closing
from threading import Lock
from typing import Any, TypeVar

from pydantic_core import from_json, to_json

from ..errors import SettingsError
from .base import PING, PING_WINDOW, Entry, Kind, new_version
from .reasons import sqlite_unavailable

log = logging.getLogger(__name__)

T = TypeVar("T")

SCHEMA_VERSION = 1
SCHEMA = """
CREATE TABLE entry (
    kind TEXT NOT NULL, key TEXT NOT NULL,
    value TEXT NOT NULL, version INTEGER NOT NULL, expires_at REAL NOT NULL,
    PRIMARY KEY (kind, key)
) WITHOUT ROWID;
CREATE INDEX entry_expiry ON entry (expires_at);
CREATE TABLE owner (
    owner TEXT NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL,
    PRIMARY KEY (owner, kind, key),
    FOREIGN KEY (kind, key) REFERENCES entry (kind, key) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX owner_entry ON owner (kind, key);
"""
INCREMENT = """
UPDATE entry SET value = json_object('count', json_extract(value, '$.count') + 1), version = ?
WHERE kind = 'counter' AND key = ? AND expires_at > ? RETURNING json_extract(value, '$.count')
"""
PURGE = """
DELETE FROM entry WHERE (kind, key) IN (SELECT kind, key FROM entry WHERE expires_at <= ? LIMIT ?)
"""
MEMORY = ":memory:"
NEVER = float("inf")
PURGE_INTERVAL = 60.0
PURGED = 500
"""Expired entries that one operation removes at most."""
PAGE = 200
BUSY, BUSY_PAUSE = 5.0, 0.01
"""Seconds to wait for another process's transaction, and between attempts."""
CHECKPOINT_AFTER = 500
"""Transactions after which the WAL goes into the file; some 10 MB."""
LONG_WAL = 16_000
"""Pages (of 4 KiB) in the WAL at which writers wait until it is reset."""


class SqliteStore:
    """`path` is created with mode 0600; `:memory:` lasts as long as the object."""

    def __init__(self, path: str, *, now: Callable[[], float] = time.time) -> None:
        self._path = path
        self._now = now
        self._connection: sqlite3.Connection | None = None
        self._lock = Lock()  # an application under test may be called from several loops
        self._purge_at = 0.0
        self._written = 0
        self._checkpoint: asyncio.Task[None] | None = None
        self._damaged = False
        """An operation met a damaged page; others may still succeed, until the whole file is found sound."""

    async def add(
        self,
        kind: Kind,
        key: str,
        value: dict[str, Any],
        *,
        expires_at: float | None = None,
        owners: Sequence[str] = (),
    ) -> bool:
        def work(db: sqlite3.Connection) -> bool:
            live = "SELECT 1 FROM entry WHERE kind = ? AND key = ? AND expires_at > ?"
            if db.execute(live, (kind, key, self._now())).fetchone():
                return False
            _write(db, kind, key, value, expires_at, owners)
            return True

        return await self._run(work)

    async def put(
        self,
        kind: Kind,
        key: str,
        value: dict[str, Any],
        *,
        expires_at: float | None = None,
        owners: Sequence[str] = (),
    ) -> None:
        await self._run(lambda db: _write(db, kind, key, value, expires_at, owners))

    async def get(self, kind: Kind, key: str) -> Entry | None:
        query = (
            "SELECT key, value, version, expires_at FROM entry WHERE kind = ? AND key = ? AND expires_at > ?"
        )
        values = (kind, key, self._now())
        row = await self._run(lambda db: db.execute(query, values).fetchone(), write=False)
        return _entry(row) if row else None

    async def take(self, kind: Kind, key: str) -> dict[str, Any] | None:
        query = "DELETE FROM entry WHERE kind = ? AND key = ? AND expires_at > ? RETURNING value"
        values = (kind, key, self._now())
        row = await self._run(lambda db: db.execute(query, values).fetchone())
        return from_json(row[0]) if row else None

    async def swap(
        self,
        kind: Kind,
        key: str,
        version: int,
        value: dict[str, Any],
        *,
        expires_at: float | None = None,
    ) -> bool:
        query = """UPDATE entry SET value = ?, version = ?, expires_at = ?
                   WHERE kind = ? AND key = ? AND version = ? AND expires_at > ?"""
        new = (to_json(value).decode(), new_version(), _expiry(expires_at))
        values = (*new, kind, key, version, self._now())
        return await self._run(lambda db: db.execute(query, values).rowcount == 1)

    async def delete(self, kind: Kind, key: str) -> bool:
        return await self.take(kind, key) is not None

    async def list(self, kind: Kind, owner: str | None = None) -> AsyncIterator[Entry]:
        whole = """SELECT key, value, version, expires_at FROM entry
                   WHERE kind = :kind AND key > :after AND expires_at > :now ORDER BY key LIMIT :page"""
        owned = """SELECT key, value, version, expires_at FROM owner JOIN entry USING (kind, key)
                   WHERE owner = :owner AND kind = :kind AND key > :after AND expires_at > :now
                   ORDER BY key LIMIT :page"""
        values = {"kind": kind, "after": "", "now": self._now(), "page": PAGE}
        query = whole
        if owner is not None:
            query, values["owner"] = owned, owner
        while True:
            rows = await self._run(lambda db: db.execute(query, values).fetchall(), write=False)
            for row in rows:
                yield _entry(row)
            if len(rows) < PAGE:
                return
            await asyncio.sleep(0)
            values["after"] = rows[-1][0]

    async def increment(self, key: str, *, window: float) -> int:
        now = self._now()
        return await self._run(lambda db: _increment(db, key, now, window))

    async def ping(self) -> None:
        if self._damaged:
            await self._run(_inspect, write=False)
            self._damaged = False
        await self.increment(PING, window=PING_WINDOW)

    async def close(self) -> None:
        if self._checkpoint is not None:
            await asyncio.wait({self._checkpoint})
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    async def _run(self, work: Callable[[sqlite3.Connection], T], *, write: bool = True) -> T:
        give_up = time.monotonic() + BUSY
        while True:
            try:
                with self._lock:
                    result = self._transaction(work) if write else work(self._connected())
                break
            except (sqlite3.Error, OSError) as error:
                if _is_damage(error):
                    self._damaged = True
                if not _is_busy(error) or time.monotonic() > give_up:
                    raise sqlite_unavailable(error) from error
            await asyncio.sleep(BUSY_PAUSE)
        if self._written >= CHECKPOINT_AFTER and (self._checkpoint is None or self._checkpoint.done()):
            self._written = 0
            self._checkpoint = asyncio.create_task(asyncio.to_thread(_checkpoint, self._path))
        return result

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = _connect(self._path)
        return self._connection

    def _transaction(self, work: Callable[[sqlite3.Connection], T]) -> T:
        db = self._connected()
        db.execute("BEGIN IMMEDIATE")
        try:
            now = self._now()
            if now >= self._purge_at and db.execute(PURGE, (now, PURGED)).rowcount < PURGED:
                self._purge_at = now + PURGE_INTERVAL
            result = work(db)
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        self._written += 1
        return result


def _is_busy(error: Exception) -> bool:
    """Whether another process holds the file just now (SQLITE_BUSY and its extended codes)."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


def _is_damage(error: Exception) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _inspect(db: sqlite3.Connection) -> None:
    """Raises DatabaseError, SQLITE_CORRUPT, unless the whole file is sound."""
    found = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        error = sqlite3.DatabaseError(found)
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error


def _connect(path: str) -> sqlite3.Connection:
    if path != MEMORY:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    db = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        _prepare(db, path)
    except BaseException:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection, path: str) -> None:
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute("PRAGMA foreign_keys = ON")
    if path != MEMORY:
        db.execute("PRAGMA wal_autocheckpoint = 0")
    db.execute("BEGIN IMMEDIATE")
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        for statement in SCHEMA.split(";"):
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    db.execute("COMMIT")
    if version > SCHEMA_VERSION:
        raise SettingsError(f"STORE_URL: {path} was written by a newer version of this program")


def _checkpoint(path: str) -> None:
    """Move what is committed from the WAL into the file, beside readers and writers. SQLite resets the WAL
    with the next write once everything has been moved; writers that never pause are made to wait for that."""
    if path == MEMORY:
        return
    try:
        with closing(sqlite3.connect(path)) as db:
            _, pages, _ = db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            if pages >= LONG_WAL:
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error:
        log.warning("the database could not be checkpointed; the next attempt follows", exc_info=True)


def _write(
    db: sqlite3.Connection,
    kind: str,
    key: str,
    value: dict[str, Any],
    expires_at: float | None,
    owners: Sequence[str],
) -> None:
    db.execute(
        "INSERT OR REPLACE INTO entry (kind, key, value, version, expires_at) VALUES (?, ?, ?, ?, ?)",
        (kind, key, to_json(value).decode(), new_version(), _expiry(expires_at)),
    )
    for owner in dict.fromkeys(owners):
        db.execute("INSERT INTO owner (owner, kind, key) VALUES (?, ?, ?)", (owner, kind, key))


def _increment(db: sqlite3.Connection, key: str, now: float, window: float) -> int:
    row = db.execute(INCREMENT, (new_version(), key, now)).fetchone()
    if row is None:
        _write(db, "counter", key, {"count": 1}, now + window, ())
        return 1
    count: int = row[0]
    return count


def _expiry(expires_at: float | None) -> float:
    return NEVER if expires_at is None else expires_at


def _entry(row: tuple[str, str, int, float]) -> Entry:
    key, value, version, expires_at = row
    return Entry(key, from_json(value), version, None if expires_at == NEVER else expires_at)
