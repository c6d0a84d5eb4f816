"""Processes kept started ahead, so that a new client need not wait for `npx`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass

from .._common.channel import ChannelError
from .backend import Backend
from .backing import Backing
from .openers import Purpose


@dataclass(frozen=True, eq=False)
class Spare:
    """A process nobody uses yet; with a purpose, it is being opened or has been."""

    child: Backing
    purpose: Purpose | None = None
    opening: asyncio.Task[Backend] | None = None


class Spares:
    """Opened for what the last two clients were alike in; else only started.

    `start` makes a process, of a shared kind or not. `open_` opens it for a purpose. Both raise ChannelError.
    `release` ends one.
    """

    def __init__(
        self,
        start: Callable[[bool], Awaitable[Backing]],
        open_: Callable[[Backing, Purpose], Coroutine[None, None, Backend]],
        release: Callable[[Backing], object],
    ) -> None:
        self._start = start
        self._open = open_
        self._release = release
        self._spares: list[Spare] = []
        self._last: Purpose | None = None
        self._foreseen: Purpose | None = None
        """Purpose of the last two clients if equal; spares are opened for it."""

    def __len__(self) -> int:
        return len(self._spares)

    def __iter__(self) -> Iterator[Spare]:
        return iter(self._spares)

    def take(self, purpose: Purpose) -> Spare | None:
        """A spare that was opened for this, else a blank one. Where all were opened for something
        else, one makes room for a blank one."""
        self._foreseen = purpose if purpose == self._last else None
        self._last = purpose
        self._spares = [spare for spare in self._spares if spare.child.usable]
        for wanted in (purpose, None):
            for spare in self._spares:
                if spare.purpose == wanted:
                    self._spares.remove(spare)
                    return spare
        self.give_up_one()
        return None

    async def add(self) -> None:
        """Start one more, and begin to open it if it is foreseen what for. Raises ChannelError."""
        purpose = self._foreseen
        child = await self._start(purpose is not None and purpose.shared)
        if purpose is None:
            self._spares.append(Spare(child))
            return
        opening = asyncio.create_task(self._open(child, purpose))
        opening.add_done_callback(_consume)
        self._spares.append(Spare(child, purpose, opening))

    def discard(self, child: Backing) -> None:
        """Forget one that has ended."""
        self._spares = [spare for spare in self._spares if spare.child is not child]

    def give_up_one(self) -> bool:
        """End one, to make room; False if there is none."""
        if not self._spares:
            return False
        self._release(self._spares.pop(0).child)
        return True

    def clear(self) -> None:
        self._spares.clear()


def _consume(task: asyncio.Future[Backend]) -> None:
    if not task.cancelled():
        with contextlib.suppress(ChannelError):
            task.result()
