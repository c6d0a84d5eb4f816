"""The processes of one server: how many, whose, reaped, and started again after a crash."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from msgspec import Raw

from .._common import jsonrpc
from .._common.channel import ChannelError, UnavailableError
from .._common.client_capabilities import ALL_CAPABILITIES
from .._common.introduction import server_info
from .._common.versions import Era
from ..metrics import ServerMetrics
from ..settings import Server
from .backend import Backend
from .backing import Backing, Make
from .backoff import Backoff
from .child import Child
from .openers import EndedAtDiscoveryError, Openers, Purpose
from .places import Place, Seat, Together
from .spares import Spares
from .tool_list import KnownTools

log = logging.getLogger(__name__)

LEAST_IDLE = 60.0
"""Seconds that a shared process must have been unused before it is ended for who comes."""

_LOOK_AGAIN = 1.0
_STABLE_AFTER = 10.0
"""A process that lived this long (seconds) and answered something does not count as a failed start."""


class Pool:
    """Every way to a process raises ChannelError (502) when it cannot start, UnavailableError (503) when
    none may be started."""

    def __init__(
        self,
        server: Server,
        openers: Openers,
        metrics: ServerMetrics,
        make: Make = Child,
        *,
        tells_tools: bool = False,
    ) -> None:
        self.server = server
        self.tools = KnownTools(server, wanted=tells_tools)
        self.openers = openers
        self._metrics = metrics
        metrics.children_limit.set(server.max_children)
        self._make = make
        self._children: dict[Backing, str] = {}
        """With the principal that each was started for."""
        self._places: dict[tuple[str, Era], list[Place]] = {}
        self._spares = Spares(self._start_spare, self._open, self.release)
        self._backoff: dict[Era, Backoff] = {"handshake": Backoff(), "modern": Backoff()}
        self._introduction: Raw | None = None
        self._reserved: Counter[str] = Counter()
        self._freed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False
        self._warming = False
        self.give_way: Callable[[str, bool], bool] = lambda principal, own: False
        """Ends an idle session's process for a principal that comes, `own`: one of its own; False if there
        is none."""

    # getting a process

    async def exclusive(self, label: str, principal: str, purpose: Purpose) -> Backend:
        """A process for one session alone, perhaps opened ahead. Ends with `release`."""
        return await self._obtain(label, principal, purpose)

    async def joint(self, principal: str, purpose: Purpose) -> Backend:
        """The one that the sessions of a principal ("" for all) share. Attach an owner while using it."""
        seat = await self.seat(principal, purpose, Together.KNOWN, askable=False)
        seat.leave()
        return seat.backend

    async def seat(self, principal: str, purpose: Purpose, together: Together, *, askable: bool) -> Seat:
        """A place for one request; `leave` it afterwards."""
        while True:
            place = self._place(principal, purpose, together, askable=askable)
            await asyncio.shield(place.opening)
            # While the process started, somebody else may have sat down, or it may have ended.
            if place.backend is not None and place.admits(purpose, together, askable=askable):
                return place.sit(askable=askable)

    def _place(self, principal: str, purpose: Purpose, together: Together, *, askable: bool) -> Place:
        places = self._places.setdefault((principal, purpose.era), [])
        places[:] = [place for place in places if not place.failed]
        for place in places:
            if place.admits(purpose, together, askable=askable):
                return place
        if purpose.modern and self.openers.modern is None and places:
            return places[0]  # which is opening: if the server is modern, one process does for all
        opening = asyncio.create_task(self._obtain(principal, principal, purpose))
        opening.add_done_callback(_consume)
        places.append(Place(purpose, opening))
        return places[-1]

    async def _obtain(self, label: str, principal: str, purpose: Purpose) -> Backend:
        try:
            return await self._take(label, principal, purpose)
        except EndedAtDiscoveryError:
            return await self._take(label, principal, purpose)

    async def _take(self, label: str, principal: str, purpose: Purpose) -> Backend:
        """A spare that will do if there is one, else a new process."""
        spare = None if self._has_its_share(principal) else self._spares.take(purpose)
        try:
            if spare is None:
                child = await self._start(label, principal, purpose.era, shared=purpose.shared)
            else:
                child = spare.child
                child.label, child.era, child.shared = label, purpose.era, purpose.shared
                if child in self._children:
                    self._children[child] = principal
        finally:
            self._refill()
        if spare is None or spare.opening is None:
            return await self._open(child, purpose)
        try:
            return await asyncio.shield(spare.opening)
        except asyncio.CancelledError:
            self.release(child)
            raise

    async def _open(self, child: Backing, purpose: Purpose) -> Backend:
        """Raises ChannelError, having given the process up."""
        patience = self.server.start_timeout
        backoff = self._backoff[purpose.era]
        try:
            async with asyncio.timeout(patience):
                backend = await purpose.open(child)
        except TimeoutError as error:
            reason = f"server {self.server.name} did not answer initialize within {patience:g} s"
            if child.junk:
                reason += ", and printed something other than JSON-RPC on stdout"
            self._failed(backoff, reason)
            self.release(child)
            raise ChannelError(reason) from error
        except BaseException as problem:
            if isinstance(problem, ChannelError) and child.alive:
                self._failed(backoff, str(problem))
            self.release(child)
            raise
        if backend.introduction is not None:
            self._introduction = backend.introduction
            backoff.succeeded()
            if purpose.shared:  # a process of one session is not ready before its client says so
                self.tools.learn(backend, modern=purpose.modern)
        return backend

    async def _start(self, label: str, principal: str, era: Era, *, shared: bool) -> Backing:
        await self._slot(self._backoff[era], principal)
        try:
            child = self._make(self.server, label, shared=shared, on_end=self._ended)
            child.era = era
            try:
                await child.start()
            except ChannelError as problem:
                self._failed(self._backoff[era], str(problem))
                raise
            self._children[child] = principal
            self._metrics.children.set(len(self._children))
            self._metrics.starts.inc()
            return child
        finally:
            self._reserved -= Counter((principal,))

    async def _slot(self, backoff: Backoff, principal: str) -> None:
        """Wait for the right to start a process: back-off over, and room below max_children."""
        name, wait = self.server.name, self.server.wait
        deadline = time.monotonic() + wait
        if self._closing:
            raise UnavailableError("the proxy is shutting down", 1)
        if (pause := backoff.pause) > wait:
            raise UnavailableError(
                f"server {name} failed {backoff.failures} times, "
                f"next attempt in {pause:.0f} s: {backoff.trouble}",
                pause,
            )
        if pause > 0:
            await asyncio.sleep(pause)
        while (full := self._has_its_share(principal)) or not self._room:
            self._evict(principal, own=full)
            try:
                # Looks again now and then, for what becomes idle while nothing ends.
                pause = min(_LOOK_AGAIN, max(0.0, deadline - time.monotonic()))
                async with asyncio.timeout(pause), self._freed:
                    await self._freed.wait()
            except TimeoutError as error:
                if time.monotonic() < deadline:
                    continue
                if full:
                    reason = f"you have {self._share} processes of server {name}, the most of one user"
                else:
                    reason = f"server {name} is at its limit of {self.server.max_children} children"
                raise UnavailableError(reason, wait) from error
        self._reserved[principal] += 1

    @property
    def _room(self) -> bool:
        return len(self._children) + self._reserved.total() < self.server.max_children

    @property
    def _share(self) -> int:
        """Processes that one user may have: half, so that others get some, too."""
        most = self.server.max_children
        return max(most // 2, min(most, 2))

    def _has_its_share(self, principal: str) -> bool:
        """Who is not known by name has none."""
        held = sum(owner == principal for owner in self._children.values())
        return principal != "" and held + self._reserved[principal] >= self._share

    def _evict(self, principal: str, *, own: bool) -> None:
        """Give up one process that nobody uses: of who comes first, then the one unused for longest.

        `own`: only one of who comes.
        """
        if self._ending(principal if own else None) or (not own and self._spares.give_up_one()):
            return
        latest = time.monotonic() - LEAST_IDLE
        idle = {
            id(place): (owner != principal, place.last_used, place)
            for (owner, _), places in self._places.items()
            for place in places
            if place.idle and place.last_used <= latest and (owner == principal or not own)
        }
        if idle:
            self._give_up(min(idle.values(), key=lambda one: one[:2])[2])
        else:
            self.give_way(principal, own)

    def _ending(self, principal: str | None) -> bool:
        """Whether room is being made already, by a process of this principal if one is named."""
        return any(child.closing and principal in (None, owner) for child, owner in self._children.items())

    # giving it back

    def release(self, child: Backing) -> None:
        """End a process group, in the background."""
        if not child.closing:
            child.closing = True
            self._background(child.close())

    def reap(self) -> None:
        """End processes that use too much memory, and shared ones unused for `idle_timeout`."""
        for child in list(self._children):
            child.check_memory()
        now = time.monotonic()
        for place in self._all_places():
            if place.idle and now - place.last_used > self.server.idle_timeout:
                self._give_up(place)

    def let_go(self, principal: str) -> None:
        """Give up the shared processes of a principal that comes no more."""
        for place in [
            place for (owner, _), places in self._places.items() if owner == principal for place in places
        ]:
            if place.opening.done():
                self._give_up(place)
            else:
                place.opening.cancel()

    def _give_up(self, place: Place) -> None:
        if (backend := place.backend) is not None:
            self.release(backend.child)

    def abandon(self, reason: str) -> None:
        """Answer all open calls with an error."""
        for child in list(self._children):
            child.abandon(reason)

    async def close(self) -> None:
        """End all processes and wait for it."""
        self._closing = True
        for place in self._all_places():
            place.opening.cancel()
        self._spares.clear()
        await asyncio.gather(*(child.close() for child in self._children))
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    # how they fare

    @property
    def trouble(self) -> str | None:
        """Why this server cannot be used now, as far as known without starting it; else None."""
        states = self._backoff.values()
        troubles = [state.trouble for state in states if state.trouble is not None]
        if troubles and not any(state.works for state in states):
            return troubles[0]
        if not self._children and (reason := self.server.missing(os.environ)):
            return f"server {self.server.name}: {reason}"
        return None

    @property
    def self_description(self) -> Mapping[str, Any]:
        """The members of the server's `serverInfo`; empty before it was introduced.

        Half a surrogate pair in them, which JSON can escape and no document in UTF-8 can hold, is `?`.
        """
        info = server_info(self._introduction)
        said = None if info is None else jsonrpc.decode(info)
        if not isinstance(said, dict):
            return {}
        whole: dict[str, Any] = json.loads(json.dumps(said, ensure_ascii=False).encode(errors="replace"))
        return whole

    @property
    def children(self) -> int:
        return len(self._children)

    def _failed(self, backoff: Backoff, reason: str, *, trouble: bool = True) -> None:
        backoff.failed(reason, trouble=trouble)
        self._metrics.failures.inc()

    def _ended(self, child: Backing, how: str) -> None:
        self._children.pop(child, None)
        self._metrics.children.set(len(self._children))
        self._spares.discard(child)
        for key, places in list(self._places.items()):
            places[:] = [place for place in places if not place.failed]
            if not places:
                del self._places[key]
        if not child.closing and not child.may_end:
            self._metrics.crashes.inc()
            if not child.served or time.monotonic() - child.started < _STABLE_AFTER:
                reason = f"server {self.server.name} {how}"
                self._failed(self._backoff[child.era], reason, trouble=not child.served)
        self._background(self._announce())
        self._refill()

    async def _announce(self) -> None:
        async with self._freed:
            self._freed.notify_all()

    def _all_places(self) -> list[Place]:
        return [place for places in self._places.values() for place in places]

    # prewarming

    def warm(self) -> None:
        """Start the spare processes of `prewarm`; a shared server is opened at once instead."""
        if self.server.prewarm and self.server.isolation == "shared":
            self._background(self._warm_shared())
        else:
            self._refill()

    async def _warm_shared(self) -> None:
        with contextlib.suppress(ChannelError):
            await self.joint("", self.openers.for_sessions(ALL_CAPABILITIES))

    def _refill(self) -> None:
        wanted = self.server.prewarm if self.server.isolation != "shared" else 0
        if wanted and not self._closing and not self._warming:
            self._warming = True
            self._background(self._warm())

    async def _warm(self) -> None:
        try:
            while len(self._spares) < self.server.prewarm and not self._closing and self._room:
                pause = self._backoff["handshake"].pause
                if pause > 0:
                    await asyncio.sleep(pause)
                with contextlib.suppress(ChannelError):
                    await self._spares.add()
        finally:
            self._warming = False

    async def _start_spare(self, shared: bool) -> Backing:
        return await self._start("spare", "", "handshake", shared=shared)

    def _background(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _consume(task: asyncio.Task[Backend]) -> None:
    if not task.cancelled():
        task.exception()
