"""One contract for every store, on a clock of the test's own; Redis is a real server."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from mcp_echo_streamablehttp_server_stateful import Settings, create_app
from mcp_echo_streamablehttp_server_stateful.entry import Entry, Kind, key_of
from mcp_echo_streamablehttp_server_stateful.store import (
    StateFullError,
    StateUnavailableError,
    Store,
    connect,
    is_state_url,
)
from redis import Redis

from .conftest import running

IDLE = 100.0


@dataclass
class Clock:
    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        self.now += 0.001
        return self.now

    def entry(self, name: str, owner: str = "alice", kind: Kind = "session") -> Entry:
        now = self()
        return Entry(key_of(kind, name), kind, owner, now, now, hello='{"a": 1}')


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", "sqlite", "redis"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "redis":
        redis: str = request.getfixturevalue("redis_url")
        return redis
    return "memory:" if request.param == "memory" else f"sqlite:///{tmp_path / 'echo.db'}"


@pytest_asyncio.fixture
async def store(url: str, clock: Clock) -> AsyncIterator[Store]:
    if url.startswith("redis"):
        with Redis.from_url(url) as client:
            for key in client.scan_iter("echo:*"):
                client.delete(key)
    store = connect(url, IDLE, clock)
    yield store
    await store.aclose()


async def test_a_record_is_found_used_and_deleted(store: Store, clock: Clock) -> None:
    entry = clock.entry("one")
    assert await store.find(entry.key) is None
    assert await store.use(entry.key, "nothing to keep it in") is None
    assert await store.open(entry, 5, 10) == []
    assert await store.find(entry.key) == entry
    used = await store.use(entry.key, "")
    assert used is not None
    assert (used.calls, used.last_echo, used.hello, used.owner) == (1, "", '{"a": 1}', "alice")
    assert used.used_at > entry.used_at
    again = await store.use(entry.key)
    assert again is not None
    assert (again.calls, again.last_echo) == (2, "")
    await store.delete(entry.key)
    await store.delete(entry.key)
    assert await store.find(entry.key) is None


async def test_opening_what_is_there_changes_nothing(store: Store, clock: Clock) -> None:
    entry = clock.entry("one")
    await store.open(entry, 1, 1)
    await store.use(entry.key, "kept")
    assert await store.open(entry, 1, 1) == []
    found = await store.find(entry.key)
    assert found is not None
    assert found.last_echo == "kept"


async def test_an_idle_record_does_not_exist(store: Store, clock: Clock) -> None:
    used, renewed, idle = (clock.entry(name) for name in ("used", "renewed", "idle"))
    for entry in (used, renewed, idle):
        await store.open(entry, None, 3)
    clock.now += IDLE - 1
    await store.use(used.key)
    await store.renew(renewed.key)
    clock.now += 2
    assert await store.find(used.key) is not None
    assert await store.find(renewed.key) is not None
    assert await store.find(idle.key) is None
    assert await store.use(idle.key) is None
    await store.open(clock.entry("in its place"), None, 3)


async def test_an_owners_longest_unused_record_makes_room(store: Store, clock: Clock) -> None:
    first, second, third = (clock.entry(name) for name in ("1", "2", "3"))
    theirs = clock.entry("theirs", "bob")
    handle = clock.entry("1", kind="handle")
    for entry in (theirs, handle, first, second):
        await store.open(entry, 2, 10)
    await store.use(first.key)
    assert await store.open(third, 2, 10) == [second.key]
    assert await store.find(second.key) is None
    for entry in (first, third, theirs, handle):
        assert await store.find(entry.key) is not None


async def test_full_is_full_and_changes_nothing(store: Store, clock: Clock) -> None:
    alice, bob = clock.entry("a"), clock.entry("b", "bob")
    await store.open(alice, 1, 2)
    await store.open(bob, 1, 2)
    with pytest.raises(StateFullError):
        await store.open(clock.entry("c", "carol"), 1, 2)
    assert await store.find(alice.key) is not None
    assert await store.find(bob.key) is not None
    assert await store.open(clock.entry("other"), 1, 2) == [alice.key], "one's own still makes room"
    await store.delete(bob.key)
    await store.open(clock.entry("c", "carol"), 1, 2)


async def test_one_user_a_thousand_times_costs_nobody_anything(store: Store, clock: Clock) -> None:
    theirs = clock.entry("theirs", "bob")
    await store.open(theirs, 3, 10)
    for number in range(1000 if not hasattr(store, "_thread") else 100):
        entry = clock.entry(str(number))
        await store.open(entry, 3, 10)
        if number % 2:
            await store.delete(entry.key)
    assert await store.find(theirs.key) is not None
    await store.open(clock.entry("room", "carol"), 3, 10)


async def test_bounds_hold_while_many_open_at_once(store: Store, clock: Clock) -> None:
    entries = [clock.entry(str(number), f"user {number}") for number in range(30)]
    results = await asyncio.gather(*(store.open(entry, 2, 7) for entry in entries), return_exceptions=True)
    assert sum(isinstance(result, StateFullError) for result in results) == 23


async def test_every_text_comes_back_as_it_was(store: Store, clock: Clock) -> None:
    entry = clock.entry("x", "Zoë\u0000:*?[a] \U0001f410")
    await store.open(entry, 2, 5)
    used = await store.use(entry.key, "line\r\n\u0000\u2028\U0001f410")
    assert used is not None
    assert (used.owner, used.last_echo) == (entry.owner, "line\r\n\u0000\u2028\U0001f410")


async def test_events_of_a_stream_are_kept_in_order_and_apart(store: Store, clock: Clock) -> None:
    one, two = clock.entry("1"), clock.entry("2")
    for entry in (one, two):
        await store.open(entry, None, 10)
    first = await store.append(one.key, "7", "")
    await store.append(one.key, "8", "another stream's")
    await store.append(two.key, "7", "another session's")
    second = await store.append(one.key, "7", '{"a": "\U0001f410"}')
    found = await store.after(one.key, first)
    assert found is not None
    assert (found.stream, [(event.id, event.message) for event in found.events]) == (
        "7",
        [(second, '{"a": "\U0001f410"}')],
    )
    rest = await store.after(one.key, second)
    assert rest is not None
    assert rest.events == []
    other = await store.after(two.key, first)  # Redis may have given the same id there
    assert other is None or not other.events
    for wrong in ("", "x", "-1", "1-", "+", "not-kept", "9" * 40, "0' OR '1", "\u0661"):
        assert await store.after(one.key, wrong) is None


async def test_events_go_with_their_session(store: Store, clock: Clock) -> None:
    deleted, evicted, idle = clock.entry("1"), clock.entry("2", "bob"), clock.entry("3", "carol")
    ids = {}
    for entry in (deleted, evicted, idle):
        await store.open(entry, 1, 10)
        ids[entry.key] = await store.append(entry.key, "7", "x")
        assert await store.after(entry.key, ids[entry.key]) is not None
    await store.delete(deleted.key)
    await store.open(clock.entry("4", "bob"), 1, 10)
    for entry in (deleted, evicted):
        assert await store.after(entry.key, ids[entry.key]) is None
        assert await store.after(entry.key, await store.append(entry.key, "7", "too late")) is None


async def test_events_are_bounded_in_number_size_and_sessions(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, bound in (("EVENTS", 10), ("EVENT_BYTES", 2000), ("EVENT_SESSIONS", 2)):
        monkeypatch.setattr(f"{type(store).__module__}.{name}", bound)
    one, *others = (clock.entry(name) for name in "123")
    for entry in (one, *others):
        await store.open(entry, None, 10)
    ids = [await store.append(one.key, "7", "y") for _ in range(12)]
    assert await store.after(one.key, ids[1]) is None
    kept = await store.after(one.key, ids[2])
    assert kept is not None
    assert [event.id for event in kept.events] == ids[3:]
    big = [await store.append(one.key, "7", "ü" * 450) for _ in range(3)]
    assert await store.after(one.key, big[0]) is None, "900 bytes each"
    assert await store.after(one.key, big[1]) is not None
    too_big = await store.append(one.key, "7", "y" * 2001)
    assert await store.after(one.key, too_big) is None
    last = await store.append(one.key, "7", "y")
    for entry in others:
        await store.append(entry.key, "7", "y")
        clock()
    assert await store.after(one.key, last) is None


async def test_what_writes_is_checked(store: Store) -> None:
    await store.check()


@pytest.mark.parametrize("url", ["sqlite", "redis"], indirect=True)
async def test_a_second_process_sees_the_same(url: str, store: Store, clock: Clock) -> None:
    entry = clock.entry("shared")
    await store.open(entry, 2, 5)
    other = connect(url, IDLE, clock)
    await other.use(entry.key, "from there")
    found = await store.find(entry.key)
    assert found is not None
    assert found.last_echo == "from there"
    id_ = await other.append(entry.key, "7", "")
    await other.append(entry.key, "7", "said there")
    stream = await store.after(entry.key, id_)
    assert stream is not None
    assert [event.message for event in stream.events] == ["said there"]
    await other.aclose()


def test_echos_user_of_redis_sees_no_other_keys(redis_url: str) -> None:
    from redis.exceptions import NoPermissionError, ResponseError

    with Redis.from_url(redis_url) as client:
        with pytest.raises(NoPermissionError):
            client.get("auth:secret")
        with pytest.raises(
            ResponseError, match=r"can't access at least one of the keys|No permissions to access a key"
        ):
            client.eval("return redis.call('GET', 'auth:secret')", 0)
        for command in ("CONFIG GET *", "FLUSHALL", "FLUSHDB", "KEYS *", "SWAPDB 0 1", "PUBLISH a b"):
            with pytest.raises(NoPermissionError):
                client.execute_command(*command.split())


async def test_redis_password_may_stand_in_a_file(redis_url: str, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("state\n")
    bare = redis_url.replace("echo:state@", "echo@")
    settings = Settings.load(echo_state_url=bare, echo_state_password_file=str(tmp_path / "password"))
    with running(create_app(settings)) as url, httpx.Client(trust_env=False, timeout=60) as http:
        assert http.get(f"{url}/health").json() == {"status": "healthy"}
    with (
        running(create_app(Settings.load(echo_state_url=bare))) as url,
        httpx.Client(trust_env=False, timeout=60) as http,
    ):
        assert http.get(f"{url}/health").status_code == 503


async def test_a_redis_that_is_away_is_said_to_be(clock: Clock) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        away = connect(f"redis://127.0.0.1:{probe.getsockname()[1]}/0", IDLE, clock)
        with pytest.raises(StateUnavailableError):
            await away.check()
        await away.aclose()


@pytest.mark.parametrize(
    ("url", "right"),
    [
        ("sqlite:///a.db", True),
        ("memory:", True),
        ("rediss://h:1/0", True),
        ("sqlite:///", False),
        ("", False),
    ],
)
def test_addresses_of_stores(url: str, right: bool) -> None:
    assert is_state_url(url) is right


WRITER = """
import asyncio, sys, time
from mcp_echo_streamablehttp_server_stateful import Settings, create_app
from mcp_echo_streamablehttp_server_stateful.entry import Entry
from mcp_echo_streamablehttp_server_stateful.store import connect

async def main():
    store = connect(sys.argv[1], 3600)
    await store.open(Entry("user:x", "user", "x", time.time(), time.time()), None, 10)
    for number in range(10 ** 9):
        await store.use("user:x", str(number))
        print(number, flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
async def test_kill_9_while_writing_loses_nothing_that_was_acknowledged(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite:///{tmp_path / 'echo.db'}" if kind == "sqlite" else request.getfixturevalue("redis_url")
    for round_ in range(3):
        process = subprocess.Popen([sys.executable, "-c", WRITER, url], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for _ in range(20 + 30 * round_):
            acknowledged = int(process.stdout.readline())
        process.kill()
        for line in process.stdout:
            acknowledged = int(line)
        process.wait(60)
        process.stdout.close()
        store = connect(url, 3600)
        found = await store.find("user:x")
        assert found is not None
        assert found.last_echo is not None
        assert int(found.last_echo) >= acknowledged
        await store.check()
        await store.delete("user:x")
        await store.aclose()
