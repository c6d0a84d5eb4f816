"""What was seen from outside, and what of it must not be."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import httpx

AWAY = (502, 503, 504)
"""What a valid request may be told while something is away. 500 is a fault of ours, whatever happened."""
EDGES_OWN = "404 page not found\n"
"""What Traefik answers by itself, until it has read its rules."""


@dataclass(frozen=True)
class Moment:
    """What holds when a request is sent."""

    edge_is_new: bool
    clock_steps: int


@dataclass
class Record:
    counts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    forbidden: set[str] = field(default_factory=set)
    """Calls that came without what they need."""
    answered: set[str] = field(default_factory=set)
    ended: Counter[str] = field(default_factory=Counter)
    """How often each service's processes were ended; its sessions may be gone since."""
    edge_is_new: bool = False
    """From the end of an edge until the next one has been seen to serve."""
    clock_steps: int = 0
    """How often the clock has been moved."""

    def violated(self, what: str) -> None:
        self.violations.append(what)
        print(f"VIOLATION: {what}", flush=True)

    def moment(self) -> Moment:
        return Moment(self.edge_is_new, self.clock_steps)

    def note(self, who: str, what: str, answer: httpx.Response, sent: Moment) -> bool:
        """Count an answer to a valid request that is no verdict on it; whether it was 200."""
        status, text = answer.status_code, answer.text
        if status == 404 and text == EDGES_OWN and (sent.edge_is_new or self.edge_is_new):
            self.counts[f"{what}: 404 of an edge that has just started"] += 1
            return False
        if status == 403 and "statement has expired" in text and sent.clock_steps < self.clock_steps:
            self.counts[f"{what}: 403, the clock moved while it was under way"] += 1
            return False
        said = f" {text[:100]}" if status in AWAY else ""
        self.counts[f"{what}: {status}{said}"] += 1
        if status not in (200, *AWAY):
            self.violated(f"{who}: {what} with what is valid: {status} {text[:300]}")
        return status == 200

    def judge(self, executed: list[str]) -> None:
        """What the counting server did, beside what clients know."""
        times = Counter(executed)
        for call, often in times.items():
            if often > 1:
                self.violated(f"call {call} was executed {often} times")
            if call in self.forbidden:
                self.violated(f"call {call} was executed without a valid token")
        self.counts["calls executed by the counting server"] = times.total()
