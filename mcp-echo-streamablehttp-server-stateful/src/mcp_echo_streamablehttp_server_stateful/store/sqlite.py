"""In a file: survives restarts, and is shared by processes of one machine."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from ..entry import Entry
from .base import EVENT_BYTES, EVENT_SESSIONS, EVENTS, Event, StateFullError, StateUnavailableError, Stream

T = TypeVar("T")

_ID = re.compile(r"[0-9]{1,18}", re.ASCII)
BUSY = 5.0
"""Seconds to wait for another process that writes."""

# Columns in the order of Entry's members.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    key TEXT PRIMARY KEY, kind TEXT NOT NULL, owner TEXT NOT NULL, first_seen REAL NOT NULL,
    used_at REAL NOT NULL, calls INTEGER NOT NULL, last_echo TEXT, hello TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_owner ON entries (kind, owner, used_at);
CREATE INDEX IF NOT EXISTS by_use ON entries (used_at);
CREATE TABLE IF NOT EXISTS events (
    id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, stream TEXT NOT NULL, message TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS by_key ON events (key, id);
CREATE TRIGGER IF NOT EXISTS forget AFTER DELETE ON entries BEGIN DELETE FROM events WHERE key = OLD.key; END;
"""
_APPEND = """
INSERT INTO events (key, stream, message) SELECT :key, :stream, :message
WHERE EXISTS (SELECT 1 FROM entries WHERE key = :key) RETURNING id
"""
_TRIM = """
DELETE FROM events WHERE key = :key AND id <= (
    SELECT max(id) FROM (
        SELECT id, row_number() OVER newest AS number, sum(length(CAST(message AS BLOB))) OVER newest AS size
        FROM events WHERE key = :key WINDOW newest AS (ORDER BY id DESC)
    ) WHERE number > :events OR size > :bytes
)
"""
_TRIM_SESSIONS = """
DELETE FROM events WHERE key IN (
    SELECT key FROM events GROUP BY key ORDER BY max(id) DESC LIMIT -1 OFFSET :sessions
)
"""


class SqliteStore:
    """Two connections, used by one thread of their own.

    One is for records. The other is for events: they need not survive a power cut, and wait for no disk.
    """

    def __init__(self, path: str, idle: float, clock: Callable[[], float] = time.time) -> None:
        """Raises StateUnavailableError when the file cannot be opened."""
        self._idle = idle
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, "state")
        try:
            self._connection = self._thread.submit(self._connect, path, "FULL").result()
            self._log = self._thread.submit(self._connect, path, "NORMAL").result()
        except sqlite3.Error as error:
            self._thread.shutdown()
            raise StateUnavailableError(f"{path}: {error}") from error

    @staticmethod
    def _connect(path: str, synchronous: str) -> sqlite3.Connection:
        connection = sqlite3.connect(path, timeout=BUSY, isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        # FULL: what was answered is on the disk, also when the power goes.
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.executescript(_SCHEMA)
        return connection

    async def open(self, entry: Entry, own: int | None, total: int) -> list[str]:
        return await self._run(lambda: self._open(entry, own, total))

    def _open(self, entry: Entry, own: int | None, total: int) -> list[str]:
        db = self._connection
        with _writing(db):
            db.execute("DELETE FROM entries WHERE used_at <= ?", (self._oldest(),))
            if db.execute("SELECT 1 FROM entries WHERE key = ?", (entry.key,)).fetchone():
                return []
            evicted = []
            if own is not None:
                rows = db.execute(
                    "SELECT key FROM entries WHERE kind = ? AND owner = ? "
                    "ORDER BY used_at DESC LIMIT -1 OFFSET ?",
                    (entry.kind, entry.owner, own - 1),
                )
                evicted = [key for (key,) in rows]
            (kin,) = db.execute("SELECT count(*) FROM entries WHERE kind = ?", (entry.kind,)).fetchone()
            if kin - len(evicted) >= total:
                raise StateFullError
            db.executemany("DELETE FROM entries WHERE key = ?", [(key,) for key in evicted])
            db.execute(
                "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    entry.key,
                    entry.kind,
                    entry.owner,
                    entry.first_seen,
                    entry.used_at,
                    entry.calls,
                    entry.last_echo,
                    entry.hello,
                ),
            )
            return evicted

    async def find(self, key: str) -> Entry | None:
        query = "SELECT * FROM entries WHERE key = ? AND used_at > ?"
        return await self._run(lambda: self._one(query, (key, self._oldest())))

    async def use(self, key: str, message: str | None = None) -> Entry | None:
        command = (
            "UPDATE entries SET calls = calls + 1, used_at = ?, last_echo = coalesce(?, last_echo) "
            "WHERE key = ? AND used_at > ? RETURNING *"
        )
        return await self._run(lambda: self._one(command, (self._clock(), message, key, self._oldest())))

    async def renew(self, key: str) -> None:
        command = "UPDATE entries SET used_at = ? WHERE key = ? AND used_at > ?"
        await self._run(lambda: self._connection.execute(command, (self._clock(), key, self._oldest())))

    async def delete(self, key: str) -> None:
        await self._run(lambda: self._connection.execute("DELETE FROM entries WHERE key = ?", (key,)))

    async def append(self, key: str, stream: str, message: str) -> str:
        return await self._run(lambda: self._append(key, stream, message))

    def _append(self, key: str, stream: str, message: str) -> str:
        values: dict[str, str | int] = {"key": key, "stream": stream, "message": message}
        bounds = {"key": key, "events": EVENTS, "bytes": EVENT_BYTES}
        with _writing(self._log):
            kept = self._log.execute("SELECT 1 FROM events WHERE key = ?", (key,)).fetchone()
            rows = self._log.execute(_APPEND, values).fetchall()
            self._log.execute(_TRIM, bounds)
            if not kept:
                self._log.execute(_TRIM_SESSIONS, {"sessions": EVENT_SESSIONS})
        return str(rows[0][0]) if rows else "not-kept"

    async def after(self, key: str, id_: str) -> Stream | None:
        return await self._run(lambda: self._after(key, int(id_))) if _ID.fullmatch(id_) else None

    def _after(self, key: str, id_: int) -> Stream | None:
        found = self._log.execute("SELECT stream FROM events WHERE id = ? AND key = ?", (id_, key)).fetchone()
        if found is None:
            return None
        query = "SELECT id, message FROM events WHERE key = ? AND stream = ? AND id > ? ORDER BY id"
        rows = self._log.execute(query, (key, found[0], id_))
        return Stream(found[0], [Event(str(number), message) for number, message in rows])

    async def check(self) -> None:
        def write() -> None:
            with _writing(self._connection):
                self._connection.execute("DELETE FROM entries WHERE key = ''")

        await self._run(write)

    async def aclose(self) -> None:
        await self._run(self._log.close)
        await self._run(self._connection.close)
        self._thread.shutdown()

    def _oldest(self) -> float:
        return self._clock() - self._idle

    def _one(self, command: str, values: tuple[object, ...]) -> Entry | None:
        rows = self._connection.execute(command, values).fetchall()
        return Entry(*rows[0]) if rows else None

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except sqlite3.Error as error:
            raise StateUnavailableError(str(error)) from error


@contextmanager
def _writing(connection: sqlite3.Connection) -> Iterator[None]:
    # IMMEDIATE: the bounds are counted under the lock under which the record is added.
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
