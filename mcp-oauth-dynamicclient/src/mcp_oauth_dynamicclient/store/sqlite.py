"""The store in one SQLite file: nothing to install, survives restarts, several processes on one machine.

Every operation is one transaction on one worker thread. WAL lets other processes (the CLI) read and write
beside a running server; `synchronous=NORMAL` keeps every committed change through a crash of the process.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from ..errors import SettingsError, StoreUnavailable
from .base import Entry, Kind, new_version

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
NEVER = float("inf")
PURGE_INTERVAL = 60.0
PAGE = 200


class SqliteStore:
    """`path` is created with mode 0600; `:memory:` lasts as long as the object."""

    def __init__(self, path: str, *, now: Callable[[], float] = time.time) -> None:
        self._path = path
        self._now = now
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sqlite")
        self._connection: sqlite3.Connection | None = None
        self._purge_at = 0.0

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
        return json.loads(row[0]) if row else None

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
        new = (json.dumps(value), new_version(), _expiry(expires_at))
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
            values["after"] = rows[-1][0]

    async def increment(self, key: str, *, window: float) -> int:
        def work(db: sqlite3.Connection) -> int:
            live = "SELECT value, expires_at FROM entry WHERE kind = 'counter' AND key = ? AND expires_at > ?"
            now = self._now()
            row = db.execute(live, (key, now)).fetchone()
            count, ends = (json.loads(row[0])["count"] + 1, row[1]) if row else (1, now + window)
            _write(db, "counter", key, {"count": count}, ends, ())
            return count

        return await self._run(work)

    async def ping(self) -> None:
        await self._run(lambda db: db.execute("SELECT count(*) FROM pragma_table_info('entry')"), write=False)

    async def close(self) -> None:
        def work() -> None:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

        await asyncio.get_running_loop().run_in_executor(self._thread, work)
        self._thread.shutdown()

    async def _run(self, work: Callable[[sqlite3.Connection], T], *, write: bool = True) -> T:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, self._transaction, work, write)
        except (sqlite3.OperationalError, sqlite3.DatabaseError, OSError) as error:
            raise StoreUnavailable from error

    def _transaction(self, work: Callable[[sqlite3.Connection], T], write: bool) -> T:
        if self._connection is None:
            self._connection = _connect(self._path)
        db = self._connection
        if not write:
            return work(db)
        db.execute("BEGIN IMMEDIATE")
        try:
            now = self._now()
            if now >= self._purge_at:
                db.execute("DELETE FROM entry WHERE expires_at <= ?", (now,))
                self._purge_at = now + PURGE_INTERVAL
            result = work(db)
        except BaseException:
            db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")
        return result


def _connect(path: str) -> sqlite3.Connection:
    if path != ":memory:":
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    db = sqlite3.connect(path, timeout=5, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute("PRAGMA foreign_keys = ON")
    db.execute("BEGIN IMMEDIATE")
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        for statement in SCHEMA.split(";"):
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    db.execute("COMMIT")
    if version > SCHEMA_VERSION:
        db.close()
        raise SettingsError(f"STORE_URL: {path} was written by a newer version of this program")
    return db


def _write(
    db: sqlite3.Connection,
    kind: str,
    key: str,
    value: dict[str, Any],
    expires_at: float | None,
    owners: Sequence[str],
) -> None:
    db.execute("DELETE FROM entry WHERE kind = ? AND key = ?", (kind, key))
    db.execute(
        "INSERT INTO entry (kind, key, value, version, expires_at) VALUES (?, ?, ?, ?, ?)",
        (kind, key, json.dumps(value), new_version(), _expiry(expires_at)),
    )
    for owner in dict.fromkeys(owners):
        db.execute("INSERT INTO owner (owner, kind, key) VALUES (?, ?, ?)", (owner, kind, key))


def _expiry(expires_at: float | None) -> float:
    return NEVER if expires_at is None else expires_at


def _entry(row: tuple[str, str, int, float]) -> Entry:
    key, value, version, expires_at = row
    return Entry(key, json.loads(value), version, None if expires_at == NEVER else expires_at)
