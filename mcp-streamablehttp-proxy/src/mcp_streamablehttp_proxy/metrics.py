"""Prometheus metrics of one proxy, in a registry of its own so that several may live in a process."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class ServerMetrics:
    """The metrics of one server, labels bound once."""

    def __init__(self, metrics: Metrics, name: str) -> None:
        self.sessions = metrics.sessions.labels(name)
        self.children = metrics.children.labels(name)
        self.starts = metrics.starts.labels(name)
        self.crashes = metrics.crashes.labels(name)
        self.failures = metrics.failures.labels(name)
        self.latency = metrics.latency.labels(name)
        self.received = metrics.bytes.labels(name, "in")
        self.sent = metrics.bytes.labels(name, "out")
        self._requests = metrics.requests
        self._name = name
        self._answers: dict[tuple[str, int], Counter] = {}

    def answered(self, era: str, status: int) -> None:
        counter = self._answers.get((era, status))
        if counter is None:
            counter = self._requests.labels(self._name, era, str(status))
            self._answers[era, status] = counter
        counter.inc()


class Metrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        one, prefix, registry = ("server",), "mcp_proxy_", self.registry
        self.sessions = Gauge(f"{prefix}sessions", "Open sessions", one, registry=registry)
        self.children = Gauge(f"{prefix}children", "Server processes", one, registry=registry)
        self.starts = Counter(f"{prefix}child_starts", "Server processes started", one, registry=registry)
        self.crashes = Counter(
            f"{prefix}child_crashes", "Server processes that ended unasked", one, registry=registry
        )
        self.failures = Counter(
            f"{prefix}child_failures", "Failed or too short-lived starts", one, registry=registry
        )
        self.latency = Histogram(
            f"{prefix}request_seconds",
            "From request to the server's response",
            one,
            buckets=_SECONDS,
            registry=registry,
        )
        self.bytes = Counter(
            f"{prefix}bytes", "Bytes of messages", ("server", "direction"), registry=registry
        )
        self.requests = Counter(
            f"{prefix}http_requests", "HTTP requests", ("server", "era", "status"), registry=registry
        )

    def server(self, name: str) -> ServerMetrics:
        return ServerMetrics(self, name)

    def page(self) -> bytes:
        return generate_latest(self.registry)
