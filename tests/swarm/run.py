"""The run: people sign in, clients call, and one thing after the other is done to the stack."""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections import Counter
from contextlib import AsyncExitStack, suppress
from itertools import pairwise

import httpx

from tests.access import Access, obtain_access
from tests.conftest import Gateway, Person, browser_page, listen_for_callback

from .cluster import Cluster
from .load import ERAS, PATIENCE, TOOLS, Client, Seen
from .rules import PHASES, SESSIONS, Phase

QUIET = 10.0
"""Seconds of load before and after what is done."""
MOST_CHILDREN = 24
"""Sessions of `time`, each a process of 40 MB."""
BUSY, FOR = 16, 15.0
"""Clients of a server that call without a pause, and for how many seconds, for the figures."""
RECOVERED_WITHIN = 60.0
Key = tuple[str, str]


async def sign_in(resource: str, person: Person) -> Access:
    async with (
        listen_for_callback() as callback,
        httpx.AsyncClient(timeout=PATIENCE, trust_env=False) as http,
    ):
        return await obtain_access(resource, person, callback, http)


class Run:
    def __init__(self, cluster: Cluster, person: Person, gateway: Gateway, http: httpx.AsyncClient) -> None:
        self.cluster = cluster
        self.person = person
        self.gateway = gateway
        self.http = http
        self.people = Seen()
        """What those who sign in, refresh and intrude have seen in this phase."""
        self.violations: list[str] = []
        self.access: dict[str, Access] = {}
        self.callers: dict[Key, list[Client]] = {}
        self.seen: dict[Key, Seen] = {}

    async def open(self, sessions: int, calls: float) -> None:
        """`calls`: a second, that all clients together try to make."""
        self.access = {name: await sign_in(self.gateway.server(name), self.person) for name in TOOLS}
        clocks = min(MOST_CHILDREN, sessions // 4)
        rest = (sessions - clocks) // 2
        counts = {"time": clocks, "echo-stateful": rest, "echo-stateless": sessions - clocks - rest}
        pause = sessions / calls
        for name, count in counts.items():
            for era, number in zip(ERAS, (count - count // 2, count // 2), strict=True):
                self.callers[name, era] = [
                    Client(f"{era} {n} of {name}", name, self.access[name], era == "modern", self.http, pause)
                    for n in range(number)
                ]

    # what goes on all the while

    async def come_and_go(self, over: asyncio.Event) -> None:
        choice = random.Random(17)
        while not over.is_set():
            name = choice.choice(tuple(TOOLS))
            try:
                access = await asyncio.wait_for(sign_in(self.gateway.server(name), self.person), 60)
            except Exception as error:  # whatever a person may see while something is away
                self.people.counts[f"sign-in: {type(error).__name__}"] += 1
            else:
                self.people.counts["sign-in: 200"] += 1
                form = {"token": access.tokens["refresh_token"], "client_id": access.client_id}
                with suppress(httpx.HTTPError):
                    await self.http.post(access.revocation_endpoint, data=form)
            await asyncio.sleep(1)

    async def refresh(self, client: Client, over: asyncio.Event) -> None:
        while not over.is_set():
            client.seen = self.people
            await client.refresh()
            await asyncio.sleep(1)

    async def intrude(self, client: Client, over: asyncio.Event) -> None:
        while not over.is_set():
            client.seen = self.people
            await client.intrude(self.access["echo-stateful"])
            await asyncio.sleep(0.5)

    # one phase

    async def phase(self, phase: Phase, refreshers: list[Client]) -> str:
        self.people = Seen()
        self.seen = {key: Seen() for key in self.callers}
        for key, callers in self.callers.items():
            for caller in callers:
                caller.seen = self.seen[key]
        await asyncio.sleep(QUIET)
        held = await asyncio.to_thread(self.held, phase.kills) if phase.kills in SESSIONS else None
        began = time.monotonic()
        await phase.act(self.cluster)
        took = time.monotonic() - began
        await asyncio.sleep(QUIET)
        for refresher in refreshers:
            if not await self.recovered(refresher):
                self.violated(phase, f"{refresher.name} cannot refresh any more")
        return self.judge(phase, held, took)

    def held(self, server: str) -> set[str]:
        """The clients whose sessions are at the first replica of a server."""
        place, callers = self.cluster.places(server)[0], self.callers[server, "handshake"]
        return {
            one.name for one in callers if one.session and self.cluster.owner(server, one.session) == place
        }

    async def recovered(self, client: Client) -> bool:
        """Whether a refresh succeeds from now on."""
        now = time.monotonic()
        while time.monotonic() < now + RECOVERED_WITHIN:
            if client.refreshed > now:
                return True
            await asyncio.sleep(0.1)
        return False

    def judge(self, phase: Phase, held: set[str] | None, took: float) -> str:
        total: Counter[str] = Counter()
        for (name, era), seen in self.seen.items():
            total.update(seen.counts)
            allowed = phase.allowed(name, era)
            for what, count in seen.failed.items():
                if what.partition(": ")[2] not in allowed:
                    self.violated(phase, f"{era} clients of {name}: {what}, {count} times")
            if era == "handshake" and name == phase.kills and held is not None and seen.touched - held:
                self.violated(phase, f"sessions of other replicas noticed: {sorted(seen.touched - held)}")
            self.violations += seen.violations
        self.violations += self.people.violations
        failed = {what: count for what, count in sorted(total.items()) if not what.endswith(": 200")}
        people = {what: n for what, n in sorted(self.people.counts.items()) if not what.startswith("intrude")}
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
            callers = [Client(f"busy {n}", name, self.access[name], True, self.http) for n in range(BUSY)]
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


async def run(cluster: Cluster, sessions: int, calls: float, only: str, *, figures: bool) -> int:
    stack = cluster.stack
    gateway = Gateway(stack.issuer, stack.server_url, stack.password)
    async with AsyncExitStack() as entered:
        page = await entered.enter_async_context(browser_page())
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=sessions)
        http = httpx.AsyncClient(timeout=PATIENCE, trust_env=False, limits=limits)
        await entered.enter_async_context(http)
        person = Person(page, gateway)
        found = Run(cluster, person, gateway, http)
        await found.open(sessions, calls)
        refreshers = []
        for name in TOOLS:
            access = await sign_in(gateway.server(name), person)
            refreshers.append(Client(f"who is signed in to {name}", name, access, True, http))
        intruder = Client("intruder", "echo-stateless", found.access["echo-stateless"], True, http)
        over = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for callers in found.callers.values():
                for caller in callers:
                    group.create_task(caller.live(over))
            group.create_task(found.come_and_go(over))
            group.create_task(found.intrude(intruder, over))
            for refresher in refreshers:
                group.create_task(found.refresh(refresher, over))
            await asyncio.sleep(sessions / calls + QUIET)  # every session is open
            for word in only.split(","):
                for phase in PHASES:
                    if word in phase.name:
                        await found.phase(phase, refreshers)
            over.set()
        if figures:
            for replicas in (3, 2, 1):
                await found.figures(replicas)
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
