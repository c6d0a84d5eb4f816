"""The run: people sign in, clients call, and one thing after the other is done to the stack."""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from itertools import pairwise

import httpx

from tests.access import Access, sign_in
from tests.conftest import Gateway
from tests.forms import FormFiller

from .cluster import ACCOUNTS, Cluster
from .load import ERAS, PATIENCE, TOOLS, Client, Seen
from .rules import FAILED, OPENING, PEOPLE, PHASES, SESSIONS, Phase

QUIET = 10.0
"""Seconds of load before what is done."""
MOST_CHILDREN = 24
"""Sessions of `time`, each a process of 40 MB."""
BUSY, FOR = 16, 15.0
"""Clients of a server that call without a pause, and for how many seconds, for the figures."""
RECOVERED_WITHIN = 120.0
"""Seconds after which everybody is served again, and can refresh; the pause between calls is in them."""
REFRESHES = 3
"""A second, of all together."""
Key = tuple[str, str]


class Run:
    def __init__(
        self, cluster: Cluster, persons: Sequence[FormFiller], gateway: Gateway, http: httpx.AsyncClient
    ) -> None:
        self.cluster = cluster
        self.persons = persons
        self.gateway = gateway
        self.http = http
        self.people = Seen()
        """What those who sign in, refresh and intrude have seen in this phase."""
        self.intruded: Counter[str] = Counter()
        """Of all phases: what those without a token were answered."""
        self.violations: list[str] = []
        self.access: dict[str, list[Access]] = {}
        """To each server, of each person: what belongs to a user is at one replica."""
        self.callers: dict[Key, list[Client]] = {}
        self.seen: dict[Key, Seen] = {}

    async def open(self, sessions: int, calls: float) -> None:
        """`calls`: a second, that all clients together try to make."""
        for name in TOOLS:
            resource = self.gateway.server(name)
            self.access[name] = [await sign_in(resource, person) for person in self.persons]
        clocks = min(MOST_CHILDREN, sessions // 4)
        rest = (sessions - clocks) // 2
        counts = {"time": clocks, "echo-stateful": rest, "echo-stateless": sessions - clocks - rest}
        pause = sessions / calls
        for name, count in counts.items():
            for era, number in zip(ERAS, (count - count // 2, count // 2), strict=True):
                self.callers[name, era] = [
                    self.client(f"{era} {n} of {name}", name, n, era == "modern", pause)
                    for n in range(number)
                ]

    def client(self, called: str, name: str, number: int, modern: bool = True, pause: float = 0.0) -> Client:
        """Of one person after the other."""
        access = self.access[name][number % len(self.persons)]
        return Client(called, name, access, modern, self.http, pause)

    # what goes on all the while

    async def come_and_go(self, over: asyncio.Event) -> None:
        choice = random.Random(17)
        while not over.is_set():
            name = choice.choice(tuple(TOOLS))
            try:
                access = await asyncio.wait_for(sign_in(self.gateway.server(name), self.persons[0]), 60)
            except Exception as error:  # whatever a person may see while something is away
                self.people.counts[f"sign-in: {FAILED}"] += 1
                print(f"a sign-in to {name} failed: {error!r}", flush=True)
            else:
                self.people.counts["sign-in: 200"] += 1
                form = {"token": access.tokens["refresh_token"], "client_id": access.client_id}
                with suppress(httpx.HTTPError):
                    await self.http.post(access.revocation_endpoint, data=form)
            await asyncio.sleep(1)

    async def refresh(self, client: Client, pause: float, over: asyncio.Event) -> None:
        """What all clients of this access use from then on."""
        while not over.is_set():
            client.seen = self.people
            await client.refresh()
            await asyncio.sleep(pause)

    async def intrude(self, client: Client, over: asyncio.Event) -> None:
        while not over.is_set():
            client.seen = self.people
            await client.intrude(self.access["echo-stateful"][0])
            await asyncio.sleep(0.5)

    # one phase

    def begin(self) -> None:
        self.people = Seen()
        self.seen = {key: Seen() for key in self.callers}
        for key, callers in self.callers.items():
            for caller in callers:
                caller.seen = self.seen[key]

    async def phase(self, phase: Phase, refreshers: list[Client]) -> str:
        self.begin()
        await asyncio.sleep(QUIET)
        held = await asyncio.to_thread(self.held, phase.kills) if phase.kills in SESSIONS else None
        began = time.monotonic()
        await phase.act(self.cluster)
        over = time.monotonic()
        await self.everybody(phase, over, refreshers)
        return self.judge(phase, held, over - began)

    async def everybody(self, phase: Phase, since: float, refreshers: list[Client]) -> None:
        """Is served again, and can refresh."""
        clients = [caller for callers in self.callers.values() for caller in callers]
        for name in await waiting(clients, lambda client: client.served > since):
            self.violated(phase, f"{name} is not served any more")
        for name in await waiting(refreshers, lambda client: client.refreshed > since):
            self.violated(phase, f"{name} cannot refresh any more")

    def held(self, server: str) -> set[str]:
        """The clients whose sessions are at the first replica of a server."""
        place, callers = self.cluster.places(server)[0], self.callers[server, "handshake"]
        return {
            one.name for one in callers if one.session and self.cluster.owner(server, one.session) == place
        }

    def judge(self, phase: Phase, held: set[str] | None, took: float) -> str:
        total: Counter[str] = Counter()
        for (name, era), seen in self.seen.items():
            total.update(seen.counts)
            allowed = phase.allowed(name, era)
            for what, count in seen.failed.items():
                if what.partition(": ")[2] not in allowed:
                    self.violated(phase, f"{era} clients of {name}: {what}, {count} times")
            if era == "handshake" and name == phase.kills and held is not None and seen.ended - held:
                self.violated(phase, f"sessions of other replicas ended: {sorted(seen.ended - held)}")
            self.violations += seen.violations
        for what, count in self.people.failed.items():
            asked, _, answer = what.partition(": ")
            if asked == "intrude":
                continue
            if answer not in phase.allowed(PEOPLE, ""):
                self.violated(phase, f"{what}, {count} times")
        self.violations += self.people.violations
        failed = {what: count for what, count in sorted(total.items()) if not what.endswith(": 200")}
        people = {what: n for what, n in sorted(self.people.counts.items()) if not what.startswith("intrude")}
        intruded = {what: n for what, n in self.people.counts.items() if what.startswith("intrude")}
        self.intruded.update(intruded)
        slow = sorted(one for seen in self.seen.values() for one in seen.slow)
        times = sorted(at for seen in self.seen.values() for at in seen.at)
        away = max((after - before for before, after in pairwise([*times, time.monotonic()])), default=0.0)
        touched = sum(len(seen.touched) for seen in self.seen.values())
        row = (
            f"| {phase.name} ({took:.0f} s) | {total['call: 200']} | {_named(failed) or 'none'} | {touched}"
            f"{f' ({len(held)} sessions there)' if held is not None else ''} | {away:.1f} s | {_ms(slow)} | "
            f"{_named(people)} |"
        )
        print(row, flush=True)
        return row

    def violated(self, phase: Phase, what: str) -> None:
        self.violations.append(f"{phase.name}: {what}")
        print(f"VIOLATION: {phase.name}: {what}", flush=True)

    async def figures(self, replicas: int) -> str:
        """Each server alone, by clients that call without a pause."""
        await self.cluster.scale(replicas, *TOOLS)
        cells = []
        for name in TOOLS:
            seen, over = Seen(), asyncio.Event()
            callers = [self.client(f"busy {n}", name, n) for n in range(BUSY)]
            for caller in callers:
                caller.seen = seen
            async with asyncio.TaskGroup() as group:
                for caller in callers:
                    group.create_task(caller.live(over))
                await asyncio.sleep(FOR)
                over.set()
            self.violations += [f"figures: {name}: {what}" for what in seen.failed]
            cells.append(f"{len(seen.slow) / FOR:.0f}/s, {_ms(sorted(seen.slow))}")
        row = f"| {replicas} | {' | '.join(cells)} |"
        print(row, flush=True)
        return row


async def waiting(clients: Sequence[Client], done: Callable[[Client], bool]) -> list[str]:
    """The names of those for whom it did not become true in time."""
    deadline = time.monotonic() + RECOVERED_WITHIN
    while undone := [client.name for client in clients if not done(client)]:
        if time.monotonic() > deadline:
            return undone
        await asyncio.sleep(0.1)
    return []


async def run(cluster: Cluster, sessions: int, calls: float, only: str, *, figures: bool) -> int:
    stack = cluster.stack
    gateway = Gateway(stack.issuer, stack.server_url, stack.password)
    async with AsyncExitStack() as entered:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=sessions)
        http = httpx.AsyncClient(timeout=PATIENCE, trust_env=False, limits=limits)
        await entered.enter_async_context(http)
        persons = []
        for account in ACCOUNTS:
            browser = await entered.enter_async_context(httpx.AsyncClient(timeout=PATIENCE, trust_env=False))
            persons.append(FormFiller(browser, gateway, account))
        found = Run(cluster, persons, gateway, http)
        await found.open(sessions, calls)
        refreshers = [
            found.client(f"{account}, signed in to {name},", name, number)
            for name in TOOLS
            for number, account in enumerate(ACCOUNTS)
        ]
        intruder = found.client("intruder", "echo-stateless", 0)
        over, began = asyncio.Event(), time.monotonic()
        found.begin()
        async with asyncio.TaskGroup() as group:
            for callers in found.callers.values():
                for caller in callers:
                    group.create_task(caller.live(over))
            group.create_task(found.come_and_go(over))
            group.create_task(found.intrude(intruder, over))
            for refresher in refreshers:
                group.create_task(found.refresh(refresher, len(refreshers) / REFRESHES, over))
            await found.everybody(OPENING, began, refreshers)
            found.judge(OPENING, None, time.monotonic() - began)
            for word in only.split(","):
                for phase in PHASES:
                    if word in phase.name:
                        await found.phase(phase, refreshers)
            over.set()
        if figures:
            for replicas in (3, 2, 1):
                await found.figures(replicas)
    print(f"without a token: {_named(found.intruded)}")
    for violation in found.violations:
        print(f"violated: {violation}")
    print(f"{sessions} sessions, {len(found.violations)} violations")
    return 1 if found.violations else 0


def _named(counts: dict[str, int]) -> str:
    return ", ".join(f"{what} ×{count}" for what, count in counts.items())


def _ms(slow: list[float]) -> str:
    if len(slow) < 2:
        return "-"
    cuts = statistics.quantiles(slow, n=100)
    return f"p50 {cuts[49] * 1000:.0f} ms, p99 {cuts[98] * 1000:.0f} ms"
