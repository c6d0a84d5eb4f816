"""Several servers under the same load, in turns, so that a noisy moment of the machine hits none alone."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median

from .load import Load, Outcome, apply

ROUNDS = 5


def compare(loads: Mapping[str, Load]) -> dict[str, Outcome]:
    """The median of each figure over ROUNDS turns, after one that warms up."""
    outcomes: dict[str, list[Outcome]] = {name: [] for name in loads}
    for _ in range(ROUNDS + 1):
        for name, load in loads.items():
            outcomes[name].append(apply(load))
    return {
        name: Outcome(
            round(median(one.per_second for one in found[1:]), 1),
            round(median(one.p50_ms for one in found[1:]), 3),
            round(median(one.p99_ms for one in found[1:]), 3),
        )
        for name, found in outcomes.items()
    }
