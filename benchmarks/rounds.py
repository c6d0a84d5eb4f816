"""Several servers under the same load, in turns, so that a noisy moment of the machine hits none alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from .load import Load, LoadError, Outcome, apply

ROUNDS = 7


@dataclass(frozen=True)
class Rounds(Outcome):
    """Medians, and what each turn gave per second."""

    turns: tuple[float, ...]


def hurry() -> None:
    """One round of everything: enough to try a benchmark, not to quote it."""
    global ROUNDS
    ROUNDS = 1


def compare(loads: Mapping[str, Load], failed: dict[str, str] | None = None) -> dict[str, Rounds]:
    """The median of each figure over ROUNDS turns, after one that warms up.

    With `failed`, a server that does not bear its load is left out and the reason noted there; else
    that raises LoadError.
    """
    outcomes: dict[str, list[Outcome]] = {name: [] for name in loads}
    for _ in range(ROUNDS + 1):
        for name in tuple(outcomes):
            try:
                outcomes[name].append(apply(loads[name]))
            except LoadError as problem:
                if failed is None:
                    raise
                failed[name] = str(problem)
                del outcomes[name]
    return {
        name: Rounds(
            round(median(one.per_second for one in found[1:]), 1),
            round(median(one.p50_ms for one in found[1:]), 3),
            round(median(one.p99_ms for one in found[1:]), 3),
            tuple(round(one.per_second, 1) for one in found[1:]),
        )
        for name, found in outcomes.items()
    }
