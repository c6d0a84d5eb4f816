"""Which replicas there are, and whose a key is: one that comes or goes moves only its own keys."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.replica_seal import ReplicaSeal
from common.replica_set import FRESH, ReplicaSet, ReplicaSettings, own_address, ranked, replica_settings
from common.settings import SettingsError

SECRET = "0123456789abcdef0123456789abcdef"
SEAL = ReplicaSeal(SECRET.encode())
PLACES = st.sets(st.integers(1, 250).map(lambda number: f"10.0.0.{number}:3000"), min_size=2, max_size=12)


@given(PLACES, st.lists(st.text(max_size=20), max_size=20), st.data())
def test_one_that_goes_moves_only_its_own_keys(
    places: set[str], keys: list[str], data: st.DataObject
) -> None:
    gone = data.draw(st.sampled_from(sorted(places)))
    for key in keys:
        before, after = ranked(places, key, SEAL), ranked(places - {gone}, key, SEAL)
        assert after == [place for place in before if place != gone]


@given(PLACES, st.text(max_size=20), st.data())
def test_the_order_in_which_the_dns_names_them_does_not_matter(
    places: set[str], key: str, data: st.DataObject
) -> None:
    assert ranked(data.draw(st.permutations(sorted(places))), key, SEAL) == ranked(places, key, SEAL)


def test_keys_are_spread_over_all() -> None:
    places = [f"10.0.0.{number}:3000" for number in range(1, 6)]
    shares = [ranked(places, f"user-{number}", SEAL)[0] for number in range(5000)]
    assert all(800 <= shares.count(place) <= 1200 for place in places)


def test_nobody_without_the_secret_can_choose_keys_for_a_place() -> None:
    places = [f"10.0.0.{number}:3000" for number in range(1, 6)]
    other = ReplicaSeal(b"another secret of another service")
    keys = [f"user-{number}" for number in range(200)]
    assert [ranked(places, key, SEAL)[0] for key in keys] != [ranked(places, key, other)[0] for key in keys]


class Dns:
    """What a name has, which a test changes; counts how often it is asked."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)
        self.asked = 0
        self.down = False

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked += 1
        if self.down:
            raise OSError("no answer")
        return self.addresses


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def replicas(dns: Dns, clock: Clock) -> ReplicaSet:
    settings = ReplicaSettings(
        secret=SECRET.encode(), names=(("tasks.time", 3000),), port=3000, address="10.0.0.1:3000"
    )
    return ReplicaSet(settings, dns, clock)


async def test_the_dns_is_asked_again_when_its_answer_is_old() -> None:
    dns, clock = Dns("10.0.0.1"), Clock()
    known = replicas(dns, clock)
    assert await known.members() == ("10.0.0.1:3000",)
    dns.addresses.append("fd00::2")
    assert await known.members() == ("10.0.0.1:3000",)
    clock.now += FRESH
    assert await known.members() == ("10.0.0.1:3000", "[fd00::2]:3000")
    assert dns.asked == 2


async def test_one_that_came_this_moment_is_not_taken_for_gone() -> None:
    dns, clock = Dns("10.0.0.1"), Clock()
    known = replicas(dns, clock)
    await known.members()
    dns.addresses.append("10.0.0.2")
    clock.now += FRESH / 10
    assert await known.has("10.0.0.2:3000")
    assert not await known.has("10.0.0.3:3000")


async def test_while_the_dns_is_away_the_replicas_known_last_are_taken() -> None:
    dns, clock = Dns("10.0.0.1", "10.0.0.2"), Clock()
    known = replicas(dns, clock)
    await known.members()
    dns.down = True
    clock.now += 2 * FRESH
    assert await known.has("10.0.0.2:3000")


def test_its_own_address_is_the_one_it_speaks_from() -> None:
    assert own_address(("127.0.0.1:4000",), 3000) == "127.0.0.1:3000"
    assert own_address((), 3000) is None


def test_without_settings_there_is_one_instance() -> None:
    assert replica_settings(None, None, None, None, 3000) is None


def test_the_secret_comes_from_a_file_and_is_never_shown(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    settings = replica_settings("tasks.time:3000,[fd00::1]:3000", None, None, str(file), 3000)
    assert settings is not None
    assert settings.secret == SECRET.encode()
    assert settings.names == (("tasks.time", 3000), ("fd00::1", 3000))
    assert SECRET not in repr(settings)


@pytest.mark.parametrize(
    ("replicas", "address", "secret", "file", "port", "named"),
    [
        ("tasks.time:3000", None, None, None, 3000, "MCP_REPLICA_SECRET"),
        ("tasks.time:3000", None, "short", None, 3000, "MCP_REPLICA_SECRET"),
        ("tasks.time", None, SECRET, None, 3000, "MCP_REPLICAS"),
        (None, None, SECRET, None, 3000, "MCP_REPLICAS"),
        ("tasks.time:3000", "here", SECRET, None, 3000, "MCP_REPLICA_ADDRESS"),
        ("tasks.time:3000", None, None, "/nowhere/secret", 3000, "MCP_REPLICA_SECRET_FILE"),
        ("tasks.time:3000", None, SECRET, None, 0, "MCP_PORT"),
    ],
)
def test_a_wrong_setting_is_named_and_the_secret_is_not(
    replicas: str | None, address: str | None, secret: str | None, file: str | None, port: int, named: str
) -> None:
    with pytest.raises(SettingsError) as problem:
        replica_settings(replicas, address, secret, file, port)
    assert named in str(problem.value)
    assert secret is None or secret not in str(problem.value)
