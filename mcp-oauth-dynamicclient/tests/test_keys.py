"""Signing keys: in the store, sealed, shared, rotated without logging anyone out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest
from mcp_oauth_dynamicclient.keys import FRESH, KNOWN_AFTER, ROTATION_LOCK, KeyRing, public_keys
from mcp_oauth_dynamicclient.settings import Settings
from mcp_oauth_dynamicclient.store import Store

from .support import Clock


async def test_the_first_use_makes_a_key_and_the_next_start_finds_it(
    settings: Settings, store: Store, clock: Clock
) -> None:
    first = await KeyRing(settings, store, clock).signing()
    again = await KeyRing(settings, store, clock).signing()
    assert again == first
    assert again.private_pem.startswith("-----BEGIN PRIVATE KEY-----")


async def test_the_private_part_is_sealed_in_the_store_and_absent_from_the_key_set(
    settings: Settings, store: Store, clock: Clock
) -> None:
    ring = KeyRing(settings, store, clock)
    key = await ring.signing()
    entry = await store.get("key", key.kid)
    assert entry is not None
    assert "PRIVATE" not in json.dumps(entry.value)
    assert "PRIVATE" not in repr(key)
    assert public_keys(await ring.published()) == {"keys": [key.public]}
    assert set(key.public) == {"kty", "n", "e", "use", "alg", "kid"}


async def test_another_secret_opens_no_key_and_makes_its_own(
    make_settings: Callable[..., Settings], store: Store, clock: Clock
) -> None:
    old = await KeyRing(make_settings(), store, clock).signing()
    ring = KeyRing(make_settings(gateway_secret="another-secret-0123456789-abcdefghijkl"), store, clock)
    new = await ring.signing()
    assert new.kid != old.kid
    assert ring.find(old.kid) is None


async def test_a_replaced_key_verifies_until_no_token_of_its_own_is_alive(
    settings: Settings, store: Store, clock: Clock
) -> None:
    ring = KeyRing(settings, store, clock)
    old = await ring.signing()
    new = await ring.rotate()
    clock.advance(KNOWN_AFTER)
    assert (await ring.signing()).kid == new.kid
    clock.advance(settings.access_token_lifetime + 1)
    assert {key.kid for key in await ring.published()} == {old.kid, new.kid}
    clock.advance(600)
    assert {key.kid for key in await ring.published()} == {new.kid}


async def test_keys_rotate_on_schedule_once_whatever_the_number_of_replicas(
    settings: Settings, store: Store, clock: Clock
) -> None:
    one, two = KeyRing(settings, store, clock), KeyRing(settings, store, clock)
    old = await one.signing()
    clock.advance(settings.key_rotation_interval - 1)
    assert (await one.signing()).kid == old.kid
    clock.advance(1)
    assert (await one.signing()).kid == (await two.signing()).kid == old.kid
    clock.advance(KNOWN_AFTER)
    new = await one.signing()
    assert new.kid != old.kid
    assert (await two.signing()).kid == new.kid
    assert len([entry async for entry in store.list("key")]) == 2


async def test_no_key_signs_before_every_replica_publishes_it(
    settings: Settings, store: Store, clock: Clock
) -> None:
    rings = [KeyRing(settings, store, clock) for _ in range(3)]

    async def check() -> set[str]:
        """Each signs while what each of the others publishes was read a moment before."""
        signing = {(await ring.signing()).kid for ring in rings}
        for ring in rings:
            assert all(ring.find(kid) for kid in signing)
        return signing

    first = await asyncio.gather(*(ring.signing() for ring in rings))
    assert len({key.kid for key in first}) == len([entry async for entry in store.list("key")]) == 1
    assert await check() == {first[0].kid}
    for _ in range(2):
        clock.advance(0.01)
        new = await rings[0].rotate()
        assert await check() == {first[0].kid}
        clock.advance(FRESH)
    assert await check() == {first[0].kid}
    clock.advance(KNOWN_AFTER)
    assert await check() == {new.kid}


async def test_a_replica_that_ended_amid_the_first_key_stops_nobody(
    settings: Settings, store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.add("first_key", "key", {}, expires_at=clock() + ROTATION_LOCK)

    async def sleep(seconds: float) -> None:
        clock.advance(seconds)

    monkeypatch.setattr("mcp_oauth_dynamicclient.keys.asyncio.sleep", sleep)
    key = await KeyRing(settings, store, clock).signing()
    assert key.created_at >= clock() - FRESH


async def test_a_key_that_leaked_signs_no_more_though_its_successor_is_new(
    settings: Settings, store: Store, clock: Clock
) -> None:
    ring = KeyRing(settings, store, clock)
    leaked = await ring.signing()
    clock.advance(KNOWN_AFTER)
    new = await ring.rotate()
    await ring.remove(leaked.kid)
    assert (await ring.signing()).kid == new.kid
    await ring.remove(new.kid)
    assert (await ring.signing()).kid not in (leaked.kid, new.kid)


async def test_a_replica_learns_of_a_rotation_within_half_a_second(
    settings: Settings, store: Store, clock: Clock
) -> None:
    one, two = KeyRing(settings, store, clock), KeyRing(settings, store, clock)
    await two.signing()
    new = await one.rotate()
    clock.advance(0.5)
    await two.refresh()
    assert two.find(new.kid) is not None


async def test_a_removed_key_is_gone_at_once(settings: Settings, store: Store, clock: Clock) -> None:
    ring = KeyRing(settings, store, clock)
    leaked = await ring.signing()
    await ring.rotate()
    assert await ring.remove(leaked.kid) is True
    assert ring.find(leaked.kid) is None
    assert await ring.remove(leaked.kid) is False
