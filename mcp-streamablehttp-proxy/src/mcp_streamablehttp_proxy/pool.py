"""The children of one server: how many, whose, kept warm, reaped, and started again after a crash."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from .call import ChildError
from .child import Child
from .metrics import ServerMetrics
from .settings import Era, Server

log = logging.getLogger(__name__)

_BACKOFF_FIRST: Final = 0.25
_BACKOFF_LAST: Final = 30.0
_STABLE_AFTER: Final = 10.0
"""A child that lived this long (seconds) and answered something does not count as a failed start."""

Opener = Callable[[Child], Awaitable[None]]
"""Makes a fresh child ready for joint use (handshake or discovery). Raises ChildError."""


@dataclass(frozen=True)
class Purpose:
    """What a child is for; children for equal purposes are opened alike, so one does for the other."""

    introduction: Era | bytes
    """The era of a child that the proxy itself introduces; else the params of the client's `initialize`."""
    open: Opener = field(compare=False)

    @property
    def joint(self) -> bool:
        return isinstance(self.introduction, str)


@dataclass(frozen=True)
class Spare:
    """A child nobody uses yet; with a purpose, it is being opened or has been."""

    child: Child
    purpose: Purpose | None = None
    opening: asyncio.Task[None] | None = None


class Unavailable(Exception):
    """No child can be had now; HTTP 503 with Retry-After of `retry_after` seconds."""

    def __init__(self, reason: str, retry_after: float) -> None:
        super().__init__(reason)
        self.retry_after = max(1, round(retry_after))


class Pool:
    """Children of one server. `openers` prepares joint children, by era."""

    def __init__(self, server: Server, openers: dict[Era, Opener], metrics: ServerMetrics) -> None:
        self.server = server
        self._openers = openers
        self._metrics = metrics
        self._children: set[Child] = set()
        self._spare: list[Spare] = []
        self._purpose: Purpose | None = None
        self._foreseen: Purpose | None = None
        """What the next child will be for, as far as the last two were for the same."""
        self._joint: dict[tuple[str, Era], asyncio.Task[Child]] = {}
        self._reserved = 0
        self._freed = asyncio.Condition()
        self._failures = 0
        self._not_before = 0.0
        self._trouble: str | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    # getting a child

    async def exclusive(self, label: str, purpose: Purpose) -> Child:
        """A started child for one session alone, perhaps opened ahead. Ends with `release`.

        Raises ChildError (502) when it cannot start, Unavailable (503) when none may be started.
        """
        child, _ = await self._take(label, purpose)
        return child

    async def joint(self, principal: str, era: Era) -> Child:
        """The ready child that one principal ("" for all) shares in one era, started on demand.

        Raises ChildError (502) or Unavailable (503). Attach an owner while using it.
        """
        key = (principal, era)
        task = self._joint.get(key)
        if task is not None and task.done() and not _usable(task):
            task = None
        if task is None:
            task = asyncio.create_task(self._open_joint(principal, era))
            self._joint[key] = task
            task.add_done_callback(_consume)
        child = await asyncio.shield(task)
        child.last_used = time.monotonic()
        return child

    async def _open_joint(self, principal: str, era: Era) -> Child:
        purpose = Purpose(era, self._openers[era])
        child, opened = await self._take(principal, purpose)
        if not opened:
            await self._open(child, purpose)
        return child

    async def _open(self, child: Child, purpose: Purpose) -> None:
        """Raises ChildError, having given the child up."""
        try:
            async with asyncio.timeout(self.server.start_timeout):
                await purpose.open(child)
        except TimeoutError:
            self.release(child)
            raise ChildError(
                f"server {self.server.name} did not answer within {self.server.start_timeout:g} s"
            ) from None
        except BaseException:
            self.release(child)
            raise
        self.succeeded()

    async def _take(self, label: str, purpose: Purpose) -> tuple[Child, bool]:
        """A spare child that will do if there is one, else a new one; and whether it is opened."""
        self._foreseen = purpose if purpose == self._purpose else None
        self._purpose = purpose
        spare = self._spare_for(purpose)
        try:
            if spare is None:
                return await self._start(label, joint=purpose.joint), False
            spare.child.label, spare.child.joint = label, purpose.joint
            if spare.opening is not None:
                await asyncio.shield(spare.opening)
            return spare.child, spare.opening is not None
        except asyncio.CancelledError:
            if spare is not None:
                self.release(spare.child)
            raise
        finally:
            self._refill()

    async def _start(self, label: str, *, joint: bool) -> Child:
        await self._slot()
        try:
            child = Child(self.server, label, joint=joint, on_end=self._ended)
            try:
                await child.start()
            except ChildError as problem:
                self._failed(str(problem))
                raise
            self._children.add(child)
            self._metrics.children.set(len(self._children))
            self._metrics.starts.inc()
            return child
        finally:
            self._reserved -= 1

    async def _slot(self) -> None:
        """Wait for the right to start a child: back-off over, and room below max_children."""
        deadline = time.monotonic() + self.server.wait
        if self._closing:
            raise Unavailable("the proxy is shutting down", 1)
        pause = self._not_before - time.monotonic()
        if pause > self.server.wait:
            raise Unavailable(
                f"server {self.server.name} failed {self._failures} times, "
                f"next attempt in {pause:.0f} s: {self._trouble}",
                pause,
            )
        if pause > 0:
            await asyncio.sleep(pause)
        while len(self._children) + self._reserved >= self.server.max_children:
            self._evict()
            remaining = deadline - time.monotonic()
            try:
                async with asyncio.timeout(max(0.0, remaining)), self._freed:
                    await self._freed.wait()
            except TimeoutError:
                raise Unavailable(
                    f"server {self.server.name} is at its limit of {self.server.max_children} children",
                    self.server.wait,
                ) from None
        self._reserved += 1

    def _evict(self) -> None:
        """Give up one child that nobody uses."""
        if self._spare:
            self.release(self._spare.pop(0).child)
        elif idle := [child for child in self._joint_children() if not tuple(child.owners)]:
            self.release(min(idle, key=lambda child: child.last_used))

    # giving it back

    def release(self, child: Child) -> None:
        """End a child's process group, in the background."""
        if not child.closing:
            child.closing = True
            self._background(child.close())

    def reap(self) -> None:
        """End joint children that nobody has used for `idle_timeout`."""
        now = time.monotonic()
        for child in self._joint_children():
            if not tuple(child.owners) and now - child.last_used > self.server.idle_timeout:
                self.release(child)

    async def close(self) -> None:
        """End all children and wait for it."""
        self._closing = True
        for task in self._joint.values():
            task.cancel()
        self._spare.clear()
        await asyncio.gather(*(child.close() for child in self._children))
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    # how they fare

    def succeeded(self) -> None:
        """A child answered as it should: it may be believed again that this server works."""
        self._failures = 0
        self._not_before = 0.0
        self._trouble = None

    @property
    def trouble(self) -> str | None:
        """Why this server cannot be used now, as far as known without starting it; else None."""
        if self._trouble is not None:
            return self._trouble
        if not self._children and (reason := self.server.missing(os.environ)):
            return f"server {self.server.name}: {reason}"
        return None

    @property
    def children(self) -> int:
        return len(self._children)

    def _failed(self, reason: str) -> None:
        self._failures += 1
        self._trouble = reason
        pause = min(_BACKOFF_LAST, _BACKOFF_FIRST * 2 ** min(self._failures - 1, 10))
        self._not_before = time.monotonic() + pause
        self._metrics.failures.inc()

    def _ended(self, child: Child, how: str) -> None:
        self._children.discard(child)
        self._metrics.children.set(len(self._children))
        self._spare = [spare for spare in self._spare if spare.child is not child]
        for key, task in list(self._joint.items()):
            if task.done() and (not _usable(task)):
                del self._joint[key]
        if not child.closing:
            self._metrics.crashes.inc()
            if not child.served or time.monotonic() - child.started < _STABLE_AFTER:
                trouble = self._trouble
                self._failed(f"server {self.server.name} {how}")
                if child.served:
                    self._trouble = trouble
        self._background(self._announce())
        self._refill()

    async def _announce(self) -> None:
        async with self._freed:
            self._freed.notify_all()

    def _joint_children(self) -> list[Child]:
        return [task.result() for task in self._joint.values() if _usable(task)]

    # prewarming

    def warm(self) -> None:
        """Start the spare children of `prewarm`; a shared server is opened at once instead."""
        if self.server.prewarm and self.server.isolation == "shared":
            self._background(self._warm_shared())
        else:
            self._refill()

    async def _warm_shared(self) -> None:
        with contextlib.suppress(ChildError, Unavailable):
            await self.joint("", "handshake")

    def _refill(self) -> None:
        wanted = self.server.prewarm if self.server.isolation != "shared" else 0
        if wanted and not self._closing and not self._warming:
            self._warming = True
            self._background(self._warm())

    _warming = False

    async def _warm(self) -> None:
        try:
            while len(self._spare) < self.server.prewarm and not self._closing:
                if len(self._children) + self._reserved >= self.server.max_children:
                    return
                pause = self._not_before - time.monotonic()
                if pause > 0:
                    await asyncio.sleep(pause)
                with contextlib.suppress(ChildError, Unavailable):
                    await self._add_spare(self._foreseen)
        finally:
            self._warming = False

    async def _add_spare(self, purpose: Purpose | None) -> None:
        child = await self._start("spare", joint=purpose is not None and purpose.joint)
        if purpose is None:
            self._spare.append(Spare(child))
            return
        opening = asyncio.create_task(self._open_ahead(child, purpose))
        opening.add_done_callback(_consume)
        self._spare.append(Spare(child, purpose, opening))

    async def _open_ahead(self, child: Child, purpose: Purpose) -> None:
        try:
            await self._open(child, purpose)
        except ChildError as problem:
            if child.alive:
                self._failed(str(problem))
            raise

    def _spare_for(self, purpose: Purpose) -> Spare | None:
        """A spare that was opened for this, else a blank one. Where all were opened for something
        else, one makes room for a blank one."""
        self._spare = [spare for spare in self._spare if spare.child.alive and not spare.child.closing]
        for wanted in (purpose, None):
            for spare in self._spare:
                if spare.purpose == wanted:
                    self._spare.remove(spare)
                    return spare
        if self._spare:
            self.release(self._spare.pop(0).child)
        return None

    def _background(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _usable(task: asyncio.Task[Child]) -> bool:
    return (
        task.done()
        and not task.cancelled()
        and task.exception() is None
        and task.result().alive
        and not task.result().closing
    )


def _consume(task: asyncio.Task[Child] | asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()
