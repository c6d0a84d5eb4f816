"""Prometheus metrics of one proxy, in a registry of its own so that several may live in a process.

What every call counts is a plain number, read only when it is asked for.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_PREFIX: Final = "mcp_proxy_"
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_LIMITS: Final = (*map(floatToGoString, _SECONDS), "+Inf")


class Tally:
    """A sum, for one thread."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def inc(self, amount: int = 1) -> None:
        self.value += amount


class Latency:
    """How many calls took how long, in seconds, for one thread."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * len(_LIMITS)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(_SECONDS, seconds)] += 1
        self.total += seconds


class ServerMetrics:
    """The metrics of one server."""

    def __init__(self, metrics: Metrics, name: str) -> None:
        self.sessions = metrics.sessions.labels(name)
        self.children = metrics.children.labels(name)
        self.starts = metrics.starts.labels(name)
        self.crashes = metrics.crashes.labels(name)
        self.failures = metrics.failures.labels(name)
        self.latency = Latency()
        self.received = Tally()
        self.sent = Tally()
        self.answers: dict[tuple[str, int], int] = {}

    def answered(self, era: str, status: int) -> None:
        key = (era, status)
        self.answers[key] = self.answers.get(key, 0) + 1


class Metrics(Collector):
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._servers: dict[str, ServerMetrics] = {}
        one, registry = ("server",), self.registry
        self.sessions = Gauge(f"{_PREFIX}sessions", "Open sessions", one, registry=registry)
        self.children = Gauge(f"{_PREFIX}children", "Server processes", one, registry=registry)
        self.starts = Counter(f"{_PREFIX}child_starts", "Server processes started", one, registry=registry)
        self.crashes = Counter(
            f"{_PREFIX}child_crashes", "Server processes that ended unasked", one, registry=registry
        )
        self.failures = Counter(
            f"{_PREFIX}child_failures", "Failed or too short-lived starts", one, registry=registry
        )
        registry.register(self)

    def server(self, name: str) -> ServerMetrics:
        """The same for the same name, so that no count goes back when a server is configured anew."""
        if name not in self._servers:
            self._servers[name] = ServerMetrics(self, name)
        return self._servers[name]

    def collect(self) -> Iterator[Metric]:
        latency = HistogramMetricFamily(
            f"{_PREFIX}request_seconds", "From request to the server's response", labels=["server"]
        )
        size = CounterMetricFamily(f"{_PREFIX}bytes", "Bytes of messages", labels=["server", "direction"])
        requests = CounterMetricFamily(
            f"{_PREFIX}http_requests", "HTTP requests", labels=["server", "era", "status"]
        )
        for name, found in self._servers.items():
            buckets = list(zip(_LIMITS, accumulate(found.latency.counts), strict=True))
            latency.add_metric([name], buckets, found.latency.total)
            size.add_metric([name, "in"], found.received.value)
            size.add_metric([name, "out"], found.sent.value)
            for (era, status), count in found.answers.items():
                requests.add_metric([name, era, str(status)], count)
        yield from (latency, size, requests)

    def page(self) -> bytes:
        return generate_latest(self.registry)
