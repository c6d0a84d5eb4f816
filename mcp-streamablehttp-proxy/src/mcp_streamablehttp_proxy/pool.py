"""The children of one server: how many, whose, kept warm, reaped, and started again after a crash."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Awaitable, Callable
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


class Unavailable(Exception):
    """No child can be had now; HTTP 503 with Retry-After of `retry_after` seconds."""

    def __init__(self, reason: str, retry_after: float) -> None:
        super().__init__(reason)
        self.retry_after = max(1, round(retry_after))


class Pool:
    """Children of one server. `openers` prepares joint children, by era."""

    def __init__(self, server: Server, openers: dict[Era, Opener], metrics: ServerMetrics) -> None:
        self.server = server
        self.child_era: Era | None = None
        """The era that children of this server were seen to speak; None until one was asked."""
        self._openers = openers
        self._metrics = metrics
        self._children: set[Child] = set()
        self._spare: list[Child] = []
        self._joint: dict[tuple[str, Era], asyncio.Task[Child]] = {}
        self._reserved = 0
        self._freed = asyncio.Condition()
        self._failures = 0
        self._not_before = 0.0
        self._trouble: str | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    # getting a child

    async def exclusive(self, label: str) -> Child:
        """A started child for one session alone, not yet initialized. Ends with `release`.

        Raises ChildError (502) when it cannot start, Unavailable (503) when none may be started.
        """
        return await self._take(label, joint=False)

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
        child = await self._take(principal, joint=True)
        try:
            async with asyncio.timeout(self.server.start_timeout):
                await self._openers[era](child)
        except TimeoutError:
            self.release(child)
            raise ChildError(
                f"server {self.server.name} did not answer within {self.server.start_timeout:g} s"
            ) from None
        except BaseException:
            self.release(child)
            raise
        self.succeeded()
        return child

    async def _take(self, label: str, *, joint: bool) -> Child:
        """A spare child if there is one, else a new one."""
        while self._spare:
            child = self._spare.pop(0)
            if child.alive:
                child.label, child.joint = label, joint
                self._refill()
                return child
        child = await self._start(label, joint=joint)
        self._refill()
        return child

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
        idle = [*self._spare] or [c for c in self._joint_children() if not tuple(c.owners)]
        if idle:
            child = min(idle, key=lambda child: child.last_used)
            if child in self._spare:
                self._spare.remove(child)
            self.release(child)

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

    def failed(self, reason: str) -> None:
        """A child could not be opened although its process started."""
        self._failed(reason)

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
        if child in self._spare:
            self._spare.remove(child)
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
                    child = await self._start("spare", joint=False)
                    self._spare.append(child)
        finally:
            self._warming = False

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


def _consume(task: asyncio.Task[Child]) -> None:
    if not task.cancelled():
        task.exception()
