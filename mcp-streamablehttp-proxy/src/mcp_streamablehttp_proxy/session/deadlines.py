"""Timeouts of one length, served by one timer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Deadlines(Generic[T]):
    """Calls `late` with what was added and not removed within `seconds`.

    All wait equally long, so they are due in the order in which they came, and one timer of the
    event loop serves them all: starting and ending one for each call takes longer.
    """

    def __init__(self, seconds: float, late: Callable[[T], object]) -> None:
        self._seconds = seconds
        self._late = late
        self._due: dict[T, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._due)

    def add(self, waiting: T) -> None:
        self._due[waiting] = time.monotonic() + self._seconds
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._ring)

    def remove(self, waiting: T) -> None:
        self._due.pop(waiting, None)

    def _ring(self) -> None:
        self._timer = None
        now = time.monotonic()
        late = []
        for waiting, due in self._due.items():
            if due > now:
                self._timer = asyncio.get_running_loop().call_later(due - now, self._ring)
                break
            late.append(waiting)
        for waiting in late:
            if self._due.pop(waiting, None) is not None:
                self._late(waiting)
