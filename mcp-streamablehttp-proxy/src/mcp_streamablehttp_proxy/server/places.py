"""Processes that several clients use, and who may sit together.

stdio does not say whom a server asks. So clients that cannot be told apart never share a process while a call
that can be asked is open; nor do any calls of a server that keeps no state.
"""

from __future__ import annotations

import asyncio
import time
from enum import Enum

from .backend import Backend
from .openers import Purpose


class Together(Enum):
    """Who may use a process at a time."""

    KNOWN = "the calls of one user, or of all where all share one process"
    STRANGERS = "callers without identity: nobody beside a call that can be asked"
    NOBODY = "one call"


class Place:
    """One shared process, from the moment that it is asked for. `last_used` is time.monotonic."""

    def __init__(self, purpose: Purpose, opening: asyncio.Task[Backend]) -> None:
        self.purpose = purpose
        self.opening = opening
        self.seats: list[Seat] = []
        self.last_used = time.monotonic()

    @property
    def backend(self) -> Backend | None:
        """The process, once it can be used."""
        task = self.opening
        if not task.done() or task.cancelled() or task.exception() is not None:
            return None
        return task.result() if task.result().child.usable else None

    @property
    def failed(self) -> bool:
        return self.opening.done() and self.backend is None

    @property
    def idle(self) -> bool:
        return not self.seats and self.backend is not None and self.backend.idle

    def admits(self, purpose: Purpose, together: Together, *, askable: bool) -> bool:
        """Whether one more call may use this process now, or once it is opened.

        `askable` is whether the call's client can be asked. A modern server is told with each request what
        its client can do, a handshake server once.
        """
        backend = self.backend
        told_alike = purpose == self.purpose or (backend is not None and purpose.modern and not backend.asks)
        if not told_alike:
            return False
        if together is Together.KNOWN or backend is None:
            return True
        if together is Together.NOBODY:
            return not self.seats and backend.free
        if not backend.asks:
            return True
        if askable:
            return not self.seats and backend.free
        return not any(seat.askable for seat in self.seats) and not backend.asking

    def sit(self, *, askable: bool) -> Seat:
        seat = Seat(self, askable)
        self.seats.append(seat)
        return seat


class Seat:
    """The right of one request to use a process; a call that outlasts it keeps others away by itself."""

    def __init__(self, place: Place, askable: bool) -> None:
        self.askable = askable
        self._place = place

    @property
    def backend(self) -> Backend:
        return self._place.opening.result()

    def leave(self) -> None:
        if self in self._place.seats:
            self._place.seats.remove(self)
            self._place.last_used = time.monotonic()
