"""Prometheus metrics of one application: every audited decision, and what /verify answers."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from . import __version__

Outcome = Literal[
    "allowed", "open", "no token", "invalid_token", "insufficient_scope", "unavailable", "malformed",
    "not ours", "foreign origin", "not acceptable",
]  # fmt: skip

REFUSED = frozenset({"refused", "failed", "denied"})
"""Outcomes of the audit log by which somebody did not get in."""


class VerifyCollector(Collector):
    """Plain integers on the hot path, read when they are asked for."""

    def __init__(self) -> None:
        self.counts: dict[Outcome, int] = dict.fromkeys(get_args(Outcome), 0)

    def collect(self) -> Iterator[CounterMetricFamily]:
        family = CounterMetricFamily("mcp_oauth_verify", "Answers of /verify.", labels=["outcome"])
        for outcome, count in self.counts.items():
            family.add_metric([outcome], count)
        yield family


class Refusals(Collector):
    """Who was refused what, and why. Anybody may register clients, and have them refused: of each event the
    series that were counted last are kept, KEPT of them, so that what strangers can do has no room among what
    only holders of tokens can. None is longer than LONGEST."""

    KEPT = 100
    LONGEST = 100

    def __init__(self) -> None:
        self._counts: dict[str, OrderedDict[tuple[str, str], int]] = {}

    def count(self, event: str, client: str, reason: str) -> None:
        counts = self._counts.setdefault(event, OrderedDict())
        series = (self._cut(client), self._cut(reason))
        counts[series] = counts.pop(series, 0) + 1
        if len(counts) > self.KEPT:
            counts.popitem(last=False)

    def _cut(self, text: str) -> str:
        """Without half surrogate pairs, of which one would keep all metrics from being read."""
        return text[: self.LONGEST].encode(errors="replace").decode()

    def collect(self) -> Iterator[CounterMetricFamily]:
        family = CounterMetricFamily(
            "mcp_oauth_refusals", "Refusals of the audit log.", labels=["event", "client", "reason"]
        )
        for event, counts in self._counts.items():
            for series, count in counts.items():
                family.add_metric([event, *series], count)
        yield family


class Metrics:
    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._counters: dict[tuple[str, str], Counter] = {}
        self._decisions = Counter(
            "mcp_oauth_decisions", "Audited decisions.", ["event", "outcome"], registry=self._registry
        )
        verify = VerifyCollector()
        self.verify = verify.counts
        self._registry.register(verify)
        self._refusals = Refusals()
        self._registry.register(self._refusals)
        self.store_up = Gauge("mcp_oauth_store_up", "1 while the store can be read.", registry=self._registry)
        build = Gauge("mcp_oauth_build", "The running version.", ["version"], registry=self._registry)
        build.labels(__version__).set(1)
        ProcessCollector(registry=self._registry)

    def observe(self, event: str, outcome: str, client: str, reason: str) -> None:
        """Count an audited decision; given to Audit."""
        counter = self._counters.get((event, outcome))
        if counter is None:
            counter = self._counters[event, outcome] = self._decisions.labels(event, outcome)
        counter.inc()
        if outcome in REFUSED:
            self._refusals.count(event, client, reason)

    def exposition(self) -> bytes:
        return generate_latest(self._registry)
