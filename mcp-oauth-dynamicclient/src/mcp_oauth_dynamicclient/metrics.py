"""Prometheus metrics of one application: every audited decision, and what /verify answers."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from . import __version__

VERIFY_OUTCOMES = (
    "allowed", "open", "no token", "invalid_token", "insufficient_scope", "unavailable", "malformed",
    "not ours",
)  # fmt: skip


class VerifyCollector(Collector):
    """Plain integers on the hot path, read when they are asked for."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys(VERIFY_OUTCOMES, 0)

    def collect(self) -> Iterator[CounterMetricFamily]:
        family = CounterMetricFamily("mcp_oauth_verify", "Answers of /verify.", labels=["outcome"])
        for outcome, count in self.counts.items():
            family.add_metric([outcome], count)
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
        self.store_up = Gauge("mcp_oauth_store_up", "1 while the store can be read.", registry=self._registry)
        build = Gauge("mcp_oauth_build", "The running version.", ["version"], registry=self._registry)
        build.labels(__version__).set(1)
        ProcessCollector(registry=self._registry)

    def observe(self, event: str, outcome: str) -> None:
        """Count an audited decision; given to Audit."""
        counter = self._counters.get((event, outcome))
        if counter is None:
            counter = self._counters[event, outcome] = self._decisions.labels(event, outcome)
        counter.inc()

    def exposition(self) -> bytes:
        return generate_latest(self._registry)
