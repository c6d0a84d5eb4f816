"""Several servers under the same load, in turns, so that a noisy moment of the machine hits none alone."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median

from .load import Load, LoadError, Outcome, apply

ROUNDS = 5


def hurry() -> None:
    """One round of everything: enough to try a benchmark, not to quote it."""
    global ROUNDS
    ROUNDS = 1


def compare(loads: Mapping[str, Load], failed: dict[str, str] | None = None) -> dict[str, Outcome]:
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
        name: Outcome(
            round(median(one.per_second for one in found[1:]), 1),
            round(median(one.p50_ms for one in found[1:]), 3),
            round(median(one.p99_ms for one in found[1:]), 3),
        )
        for name, found in outcomes.items()
    }
