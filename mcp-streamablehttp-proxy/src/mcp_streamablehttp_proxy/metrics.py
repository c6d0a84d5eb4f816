"""Prometheus metrics of one proxy, in a registry of its own so that several may live in a process.

What every call counts is a plain number, read only when it is asked for.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PREFIX = "mcp_proxy_"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_MAX_TOOLS = 100
_OTHER = "other"
_LIMITS = (*map(floatToGoString, _SECONDS), "+Inf")


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

    def buckets(self) -> list[tuple[str, int]]:
        return list(zip(_LIMITS, accumulate(self.counts), strict=True))


class ToolTallies:
    """Calls by tool. The name of a tool is a caller's word, so that a tool counts under it from the first
    call that went well, a hundred tools at most; the rest are `other`."""

    def __init__(self) -> None:
        self.calls: dict[tuple[str, str], int] = {}
        self.latency: dict[str, Latency] = {}

    def observe(self, tool: str, outcome: str, seconds: float) -> None:
        known = tool in self.latency or (outcome == "ok" and len(self.latency) < _MAX_TOOLS)
        name = tool if known else _OTHER
        self.calls[name, outcome] = self.calls.get((name, outcome), 0) + 1
        latency = self.latency.get(name)
        if latency is None:
            latency = self.latency[name] = Latency()
        latency.observe(seconds)


class ServerMetrics:
    """The metrics of one server."""

    def __init__(self, metrics: Metrics, name: str) -> None:
        self.sessions = metrics.sessions.labels(name)
        self.children = metrics.children.labels(name)
        self.sessions_limit = metrics.sessions_limit.labels(name)
        self.children_limit = metrics.children_limit.labels(name)
        self.starts = metrics.starts.labels(name)
        self.crashes = metrics.crashes.labels(name)
        self.failures = metrics.failures.labels(name)
        self.latency = Latency()
        self.received = Tally()
        self.sent = Tally()
        self.tools = ToolTallies()
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
        self.sessions_limit = Gauge(
            f"{_PREFIX}sessions_limit", "Sessions that may be open", one, registry=registry
        )
        self.children_limit = Gauge(
            f"{_PREFIX}children_limit", "Server processes that may run", one, registry=registry
        )
        self.starts = Counter(f"{_PREFIX}child_starts", "Server processes started", one, registry=registry)
        self.crashes = Counter(
            f"{_PREFIX}child_crashes", "Server processes that ended unasked", one, registry=registry
        )
        self.failures = Counter(
            f"{_PREFIX}child_failures", "Failed or too short-lived starts", one, registry=registry
        )
        registry.register(self)
        ProcessCollector(registry=registry)

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
        calls = CounterMetricFamily(
            f"{_PREFIX}tool_calls", "Calls of tools", labels=["server", "tool", "outcome"]
        )
        took = HistogramMetricFamily(
            f"{_PREFIX}tool_seconds", "How long they took", labels=["server", "tool"]
        )
        for name, found in self._servers.items():
            for (tool, outcome), count in found.tools.calls.items():
                calls.add_metric([name, tool, outcome], count)
            for tool, seconds in found.tools.latency.items():
                took.add_metric([name, tool], seconds.buckets(), seconds.total)
            latency.add_metric([name], found.latency.buckets(), found.latency.total)
            size.add_metric([name, "in"], found.received.value)
            size.add_metric([name, "out"], found.sent.value)
            for (era, status), count in found.answers.items():
                requests.add_metric([name, era, str(status)], count)
        yield from (latency, size, requests, calls, took)

    def page(self) -> bytes:
        return generate_latest(self.registry)
