"""What only the SQLite store promises: one private file, kept across restarts."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
from mcp_oauth_dynamicclient.errors import SettingsError, StoreUnavailableError
from mcp_oauth_dynamicclient.store.sqlite import SqliteStore


async def test_entries_survive_a_restart(tmp_path: Path) -> None:
    path = str(tmp_path / "auth.db")
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
    with pytest.raises(StoreUnavailableError):
        await store.ping()
    with pytest.raises(StoreUnavailableError):
        await store.put("grant", "a", {})
    await store.close()


async def test_a_file_that_is_no_database_is_an_unavailable_store_and_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "auth.db").write_text("my shopping list, " * 100)
    store = SqliteStore(str(tmp_path / "auth.db"))
    with pytest.raises(StoreUnavailableError):
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


async def test_operations_that_run_together_are_each_answered_for_themselves(tmp_path: Path) -> None:
    store = SqliteStore(str(tmp_path / "auth.db"))
    good = [store.add("jti", str(n), {"n": n}) for n in range(100)]
    bad = store.put("jti", "bad", {"n": object()})
    results = await asyncio.gather(*good[:50], bad, *good[50:], return_exceptions=True)
    assert isinstance(results.pop(50), ValueError)
    assert results == [True] * 100
    assert len([entry async for entry in store.list("jti")]) == 100
    await store.close()


async def test_another_process_that_is_writing_is_waited_for_while_reads_go_on(tmp_path: Path) -> None:
    store = SqliteStore(str(tmp_path / "auth.db"))
    await store.put("jti", "a", {})
    other = sqlite3.connect(tmp_path / "auth.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    kept, given_up = (asyncio.create_task(store.increment("k", window=60)) for _ in range(2))
    await asyncio.sleep(0.05)
    assert await store.get("jti", "a") is not None
    assert not kept.done()
    given_up.cancel()
    other.execute("COMMIT")
    other.close()
    assert await kept == 1
    assert given_up.cancelled()
    assert await store.increment("k", window=60) == 2
    await store.close()


async def test_another_process_that_never_ends_its_transaction_makes_the_store_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcp_oauth_dynamicclient.store.sqlite.BUSY", 0.05)
    store = SqliteStore(str(tmp_path / "auth.db"))
    await store.ping()
    other = sqlite3.connect(tmp_path / "auth.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailableError):
        await store.put("jti", "a", {})
    other.execute("ROLLBACK")
    other.close()
    assert await store.get("jti", "a") is None
    await store.close()


async def test_a_new_file_that_another_process_is_just_opening_is_waited_for(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "auth.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    store = SqliteStore(str(tmp_path / "auth.db"))
    task = asyncio.create_task(store.increment("k", window=60))
    await asyncio.sleep(0.05)
    assert not task.done()
    other.execute("COMMIT")
    other.close()
    assert await task == 1
    await store.close()


async def test_the_write_ahead_log_does_not_grow_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcp_oauth_dynamicclient.store.sqlite.CHECKPOINT_AFTER", 20)
    monkeypatch.setattr("mcp_oauth_dynamicclient.store.sqlite.LONG_WAL", 200)
    store = SqliteStore(str(tmp_path / "auth.db"))
    for round_ in range(10):
        for n in range(40):
            await store.put("jti", f"{round_}-{n}", {"text": "x" * 1000})
            await asyncio.sleep(0.001)
    assert (tmp_path / "auth.db-wal").stat().st_size < 400 * 4096
    assert (tmp_path / "auth.db").stat().st_size > 200_000
    await store.close()


async def test_many_expired_entries_are_removed_a_part_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcp_oauth_dynamicclient.store.sqlite.PURGED", 10)
    time = 1000.0
    store = SqliteStore(str(tmp_path / "auth.db"), now=lambda: time)
    for n in range(25):
        await store.put("jti", str(n), {}, expires_at=1010)
    left = []
    time = 2000.0
    for _ in range(3):
        await store.increment("k", window=60)
        with sqlite3.connect(tmp_path / "auth.db") as db:
            left.append(db.execute("SELECT count(*) FROM entry WHERE kind = 'jti'").fetchone()[0])
        db.close()
    assert left == [15, 5, 0]
    await store.close()


async def test_a_full_disk_is_named_and_is_no_trouble_once_there_is_room(tmp_path: Path) -> None:
    store = SqliteStore(str(tmp_path / "auth.db"))
    await store.put("grant", "a", {"n": 1})
    db = store._connected()
    db.execute("PRAGMA max_page_count = 20")
    with pytest.raises(StoreUnavailableError, match="cannot be written, as the disk is full"):
        await store.put("jti", "a", {"padding": "x" * 100_000})
    assert (await store.get("grant", "a")) is not None
    db.execute("PRAGMA max_page_count = 1000000")
    await store.put("grant", "b", {})
    await store.close()


async def test_a_damaged_page_is_named_until_the_file_is_sound_again(tmp_path: Path) -> None:
    path = tmp_path / "auth.db"
    store = SqliteStore(str(path))
    for number in range(200):
        await store.put("grant", str(number), {"padding": "x" * 500})
    await store.close()
    sound = path.read_bytes()
    with path.open("r+b") as file:  # every page but those of the schema and of `ping`
        file.seek(4096 * 10)
        file.write(b"\xff" * (len(sound) - 4096 * 10))
    store = SqliteStore(str(path))
    with pytest.raises(StoreUnavailableError, match="is damaged"):
        [entry async for entry in store.list("grant")]
    with pytest.raises(StoreUnavailableError, match="is damaged"):
        await store.ping()
    await store.close()
    path.write_bytes(sound)
    store = SqliteStore(str(path))
    await store.ping()
    await store.close()


async def test_a_file_that_may_only_be_read_is_named(tmp_path: Path) -> None:
    store = SqliteStore(str(tmp_path / "auth.db"))
    await store.ping()
    store._connected().execute("PRAGMA query_only = ON")
    with pytest.raises(StoreUnavailableError, match="may only be read"):
        await store.ping()
    await store.close()


async def test_a_lock_that_lasts_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcp_oauth_dynamicclient.store.sqlite.BUSY", 0.05)
    store = SqliteStore(str(tmp_path / "auth.db"))
    await store.ping()
    other = sqlite3.connect(tmp_path / "auth.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailableError, match="is locked by another process"):
        await store.ping()
    other.close()
    await store.ping()
    await store.close()
