"""What is away, written down once a minute however many meet it: anybody may, as often as they like."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

EVERY = 60.0
"""Seconds for which whoever meets the same outage is told the same reference, which has one line."""
KEPT = 64
"""Outages that are known; of one that is forgotten the next line is written early."""


@dataclass(slots=True)
class _Outage:
    reference: str
    since: float
    unwritten: int = 0


class Outages:
    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._known: OrderedDict[tuple[str | None, ...], _Outage] = OrderedDict()

    def meet(self, *what: str | None) -> tuple[str, int | None]:
        """The reference of an outage. With None its line is there already; with a number it has to be written
        now, and that many met the outage without one since the line before."""
        now = self._now()
        known = self._known.get(what)
        if known is not None and 0 <= now - known.since < EVERY:
            known.unwritten += 1
            return known.reference, None
        outage = self._known[what] = _Outage(secrets.token_hex(4), now)
        self._known.move_to_end(what)
        if len(self._known) > KEPT:
            self._known.popitem(last=False)
        return outage.reference, known.unwritten if known is not None else 0
