"""The store in one SQLite file: nothing to install, survives restarts, several processes on one machine.

One worker thread holds the connection and commits in groups: operations that wait at the same moment share a
transaction, and none is answered before that is committed. WAL lets other processes (the CLI) read and write
beside a running server; `synchronous=NORMAL` keeps every committed change through a crash of the process.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from ..errors import SettingsError, StoreUnavailable
from .base import Entry, Kind, Limit, new_version

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
INSERT INTO entry (kind, key, value, version, expires_at)
VALUES ('counter', :key, '{"count": 1}', :version, :ends)
ON CONFLICT (kind, key) DO UPDATE SET
  value = CASE WHEN expires_at > :now
    THEN json_object('count', json_extract(value, '$.count') + 1) ELSE excluded.value END,
  expires_at = CASE WHEN expires_at > :now THEN expires_at ELSE excluded.expires_at END
RETURNING json_extract(value, '$.count')
"""
NEVER = float("inf")
PURGE_INTERVAL = 60.0
PAGE = 200
BUSY = 5.0
"""Seconds to wait for another process's transaction."""
WAL_ATTEMPTS, WAL_PAUSE = 100, 0.02
GROUP = 64
"""Operations that share a transaction at most."""


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    work: Callable[[sqlite3.Connection], Any]
    write: bool
    answer: asyncio.Future[Any]


class SqliteStore:
    """`path` is created with mode 0600; `:memory:` lasts as long as the object."""

    def __init__(self, path: str, *, now: Callable[[], float] = time.time) -> None:
        self._path = path
        self._now = now
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._thread: Thread | None = None
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
        now = self._now()
        return await self._run(lambda db: _increment(db, key, now, window))

    async def put_within(
        self,
        limit: Limit,
        kind: Kind,
        key: str,
        value: dict[str, Any],
        *,
        expires_at: float | None = None,
    ) -> bool:
        now = self._now()

        def work(db: sqlite3.Connection) -> bool:
            if _increment(db, limit.counter, now, limit.window) > limit.allowed:
                return False
            _write(db, kind, key, value, expires_at, ())
            return True

        return await self._run(work)

    async def ping(self) -> None:
        await self._run(lambda db: db.execute("SELECT count(*) FROM pragma_table_info('entry')"), write=False)

    async def close(self) -> None:
        if self._thread is not None:
            self._jobs.put(None)
            await asyncio.to_thread(self._thread.join)
            self._thread = None

    async def _run(self, work: Callable[[sqlite3.Connection], T], *, write: bool = True) -> T:
        if self._thread is None:
            self._thread = Thread(target=self._serve, name="sqlite", daemon=True)
            self._thread.start()
        job = Job(work, write, asyncio.get_running_loop().create_future())
        self._jobs.put(job)
        try:
            result: T = await job.answer
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailable from error
        return result

    def _serve(self) -> None:
        closing = False
        while not closing:
            waiting = [self._jobs.get()]
            while len(waiting) < GROUP and not self._jobs.empty():
                waiting.append(self._jobs.get())
            closing = None in waiting
            group = [job for job in waiting if job is not None]
            if group:
                self._answer(group)
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _answer(self, group: Sequence[Job]) -> None:
        try:
            answers: Sequence[Any] = self._transaction(group)
        except Exception as error:
            if len(group) > 1:  # one of them is at fault, or the store is away: each gets its own answer
                for job in group:
                    self._answer([job])
                return
            answers = [error]
        pairs = zip(group, answers, strict=True)
        for loop, given in groupby(pairs, lambda pair: pair[0].answer.get_loop()):
            with suppress(RuntimeError):  # the loop has ended; nobody waits any more
                loop.call_soon_threadsafe(_deliver, tuple(given))

    def _transaction(self, group: Sequence[Job]) -> Sequence[Any]:
        if self._connection is None:
            self._connection = _connect(self._path)
        db = self._connection
        if not any(job.write for job in group):
            return [job.work(db) for job in group]
        db.execute("BEGIN IMMEDIATE")
        try:
            now = self._now()
            if now >= self._purge_at:
                db.execute("DELETE FROM entry WHERE expires_at <= ?", (now,))
                self._purge_at = now + PURGE_INTERVAL
            answers = [job.work(db) for job in group]
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        return answers


def _deliver(given: Sequence[tuple[Job, Any]]) -> None:
    for job, answer in given:
        if job.answer.done():
            continue  # whoever asked was cancelled
        if isinstance(answer, Exception):
            job.answer.set_exception(answer)
        else:
            job.answer.set_result(answer)


def _connect(path: str) -> sqlite3.Connection:
    if path != ":memory:":
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    db = sqlite3.connect(path, timeout=BUSY, isolation_level=None, check_same_thread=False)
    _use_wal(db)
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


def _use_wal(db: sqlite3.Connection) -> None:
    """SQLite does not make two processes that open a new file at once wait for each other here."""
    for _ in range(WAL_ATTEMPTS):
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            time.sleep(WAL_PAUSE)
    db.execute("PRAGMA journal_mode = WAL")


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
        (kind, key, json.dumps(value), new_version(), _expiry(expires_at)),
    )
    for owner in dict.fromkeys(owners):
        db.execute("INSERT INTO owner (owner, kind, key) VALUES (?, ?, ?)", (owner, kind, key))


def _increment(db: sqlite3.Connection, key: str, now: float, window: float) -> int:
    values = {"key": key, "version": new_version(), "now": now, "ends": now + window}
    count: int = db.execute(INCREMENT, values).fetchone()[0]
    return count


def _expiry(expires_at: float | None) -> float:
    return NEVER if expires_at is None else expires_at


def _entry(row: tuple[str, str, int, float]) -> Entry:
    key, value, version, expires_at = row
    return Entry(key, json.loads(value), version, None if expires_at == NEVER else expires_at)
