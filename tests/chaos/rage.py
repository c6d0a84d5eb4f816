"""Clients, attackers and blows at once, in rounds: after each of them everybody has to be served again."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import httpx
from playwright.async_api import Page

from tests.access import sign_in
from tests.conftest import PATIENCE, Gateway, Person, browser_page

from .attackers import Attacker
from .client import TOOLS, Client
from .hosts import BridgeHost, SdkHost
from .place import Place
from .record import Record

QUIET = (1.0, 6.0)
"""Seconds between two blows."""
ROUND = 75.0
"""Seconds of blows, after which there are none until everybody has been served."""
RECOVERED_WITHIN = 900.0
"""Seconds that this may take. A process that ended often waits half a minute before it is started again."""


SIGNED_IN_WITHIN = 120.0
"""Seconds after which a visitor gives a sign-in up, and begins another."""


class Served(Protocol):
    """Who holds what is valid, and has to be served."""

    name: str

    def is_served(self, since: float) -> bool: ...

    async def live(self, until: asyncio.Event) -> None: ...


async def rage(place: Place, folder: Path, seconds: float, record: Record, seed: int) -> None:
    gateway = await place.start()
    try:
        async with browser_page() as page:
            await _rage(place, gateway, page, folder, seconds, record, seed)
    finally:
        await place.stop()
    record.judge(place.executed())


async def _rage(
    place: Place, gateway: Gateway, page: Page, folder: Path, seconds: float, record: Record, seed: int
) -> None:
    person = Person(page, gateway)
    clients = []
    for server in TOOLS:
        for modern in (False, True):
            access = await sign_in(gateway.server(server), person)
            clients.append(Client(server, access, modern, record, random.Random(f"{seed} {server} {modern}")))
    attackers = [
        Attacker(
            client, other, await place.expired(client.access.resource), record,
            random.Random(f"{seed} attacker {number}"),
        )
        for number, (client, other) in enumerate(zip(clients, clients[2:] + clients[:2], strict=True))
    ]  # fmt: skip
    counting = gateway.server("count")
    hosts = [
        SdkHost(
            counting, mode, await another_person(page, gateway), record, random.Random(f"{seed} SDK {mode}")
        )
        for mode in ("legacy", "2026-07-28")
    ]
    bridge = BridgeHost(counting, gateway.password, folder, record, random.Random(f"{seed} bridge"))
    await bridge.sign_in()
    visitor = Visitor(
        gateway,
        await another_person(page, gateway),
        record,
        random.Random(f"{seed} visitor"),
        place.revoked_within,
    )
    over = asyncio.Event()
    everybody: list[Served] = [*clients, *hosts, bridge, visitor]
    async with asyncio.TaskGroup() as group:
        for one in everybody:
            group.create_task(one.live(over))
        for attacker in attackers:
            group.create_task(attacker.live(over))
        choice = random.Random(f"{seed} blows")
        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0:
            await strike(place, record, choice, min(left, ROUND))
            await everybody_is_served(everybody, record)
        over.set()
    for client in clients:
        await client.close()


async def strike(place: Place, record: Record, choice: random.Random, seconds: float) -> None:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        await asyncio.sleep(choice.uniform(*QUIET))
        blow = place.blow(choice)
        print(f"{time.strftime('%H:%M:%S')} {blow.what} {blow.whom}", flush=True)
        if await blow.fall():
            record.counts[f"blow: {blow.what} {blow.whom}"] += 1


async def everybody_is_served(everybody: Sequence[Served], record: Record) -> None:
    since = time.monotonic()
    while waiting := [one.name for one in everybody if not one.is_served(since)]:
        if time.monotonic() - since > RECOVERED_WITHIN:
            record.violated(f"not served {RECOVERED_WITHIN:.0f} s after the last blow: {', '.join(waiting)}")
            return
        await asyncio.sleep(0.5)
    record.counts["rounds after which everybody was served"] += 1
    print(f"{time.strftime('%H:%M:%S')} everybody is served, {time.monotonic() - since:.0f} s", flush=True)


class Visitor:
    """Somebody who signs in, calls once, and signs out, again and again."""

    name = "visitor"

    def __init__(
        self, gateway: Gateway, person: Person, record: Record, choice: random.Random, revoked_within: float
    ) -> None:
        self._gateway = gateway
        self._person = person
        self._record = record
        self._random = choice
        self._revoked_within = revoked_within
        self._served = 0.0

    def is_served(self, since: float) -> bool:
        return self._served > since

    async def live(self, until: asyncio.Event) -> None:
        while not until.is_set():
            server = self._random.choice(tuple(TOOLS))
            try:
                access = await asyncio.wait_for(
                    sign_in(self._gateway.server(server), self._person), SIGNED_IN_WITHIN
                )
            except Exception as error:  # whatever a person or a client may see while something is away
                self._record.counts[f"visitor: sign-in: {type(error).__name__}"] += 1
                await asyncio.sleep(1)
                continue
            self._record.counts["visitor: signed in"] += 1
            self._served = time.monotonic()
            client = Client(server, access, self._random.random() < 0.5, self._record, self._random)
            try:
                await client.call()
                await client.revoke(self._revoked_within)
            except httpx.HTTPError as error:
                self._record.counts[f"visitor: {type(error).__name__}"] += 1
            await client.close()


async def another_person(page: Page, gateway: Gateway) -> Person:
    """With a browser profile of their own."""
    browser = page.context.browser
    assert browser is not None
    context = await browser.new_context()
    context.set_default_timeout(PATIENCE)
    return Person(await context.new_page(), gateway)
