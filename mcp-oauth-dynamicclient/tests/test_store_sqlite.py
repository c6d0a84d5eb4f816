"""What only the SQLite store promises: one private file, kept across restarts."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
from mcp_oauth_dynamicclient.errors import SettingsError, StoreUnavailable
from mcp_oauth_dynamicclient.store.sqlite import SqliteStore


async def test_entries_survive_a_restart(tmp_path: Path) -> None:
    path = str(tmp_path / "deep" / "auth.db")
    first = SqliteStore(path)
    await first.put("grant", "a", {"n": 1}, owners=["user:1"])
    await first.close()
    second = SqliteStore(path)
    assert [entry.value async for entry in second.list("grant", "user:1")] == [{"n": 1}]
    await second.close()


async def test_the_file_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    store = SqliteStore(str(tmp_path / "auth.db"))
    await store.put("key", "a", {})
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
    await store.close()


async def test_expired_entries_and_their_owners_leave_the_file(tmp_path: Path) -> None:
    time = 1000.0
    store = SqliteStore(str(tmp_path / "auth.db"), now=lambda: time)
    await store.put("login", "old", {}, expires_at=1010, owners=["o"])
    time = 2000.0
    await store.put("login", "new", {})
    await store.close()
    with sqlite3.connect(tmp_path / "auth.db") as db:
        assert db.execute("SELECT key FROM entry").fetchall() == [("new",)]
        assert db.execute("SELECT count(*) FROM owner").fetchone() == (0,)
    db.close()


async def test_a_path_that_cannot_be_opened_is_an_unavailable_store(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = SqliteStore(str(tmp_path / "file" / "auth.db"))
    with pytest.raises(StoreUnavailable):
        await store.ping()
    with pytest.raises(StoreUnavailable):
        await store.put("grant", "a", {})
    await store.close()


async def test_a_file_that_is_no_database_is_an_unavailable_store_and_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "auth.db").write_text("my shopping list, " * 100)
    store = SqliteStore(str(tmp_path / "auth.db"))
    with pytest.raises(StoreUnavailable):
        await store.get("grant", "a")
    await store.close()
    assert (tmp_path / "auth.db").read_text() == "my shopping list, " * 100


async def test_a_file_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "auth.db")
    db.execute("PRAGMA user_version = 99")
    db.close()
    store = SqliteStore(str(tmp_path / "auth.db"))
    with pytest.raises(SettingsError, match="newer version"):
        await store.ping()
    await store.close()


async def test_operations_that_wait_together_are_each_answered_for_themselves(tmp_path: Path) -> None:
    store = SqliteStore(str(tmp_path / "auth.db"))
    good = [store.add("jti", str(n), {"n": n}) for n in range(100)]
    bad = store.put("jti", "bad", {"n": object()})
    results = await asyncio.gather(*good[:50], bad, *good[50:], return_exceptions=True)
    assert isinstance(results.pop(50), TypeError)
    assert results == [True] * 100
    assert len([entry async for entry in store.list("jti")]) == 100
    await store.close()


async def test_a_caller_that_gives_up_does_not_disturb_the_others(tmp_path: Path) -> None:
    store = SqliteStore(str(tmp_path / "auth.db"))
    tasks = [asyncio.create_task(store.increment("k", window=60)) for _ in range(20)]
    await asyncio.sleep(0)
    tasks[3].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results.pop(3), asyncio.CancelledError)
    assert len(set(results)) == 19
    await store.close()


async def test_a_new_file_that_another_process_is_just_opening_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = sqlite3.connect(tmp_path / "auth.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    waits: list[float] = []

    def pause(seconds: float) -> None:
        waits.append(seconds)
        other.execute("COMMIT")

    monkeypatch.setattr("mcp_oauth_dynamicclient.store.sqlite.BUSY", 0)
    monkeypatch.setattr("mcp_oauth_dynamicclient.store.sqlite.time.sleep", pause)
    store = SqliteStore(str(tmp_path / "auth.db"))
    assert await store.increment("k", window=60) == 1
    assert len(waits) == 1
    await store.close()
    other.close()
