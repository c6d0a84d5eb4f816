"""OpenTelemetry spans, off unless they are configured.

The SDK makes a span of every request through OpenTelemetry's API, which does nothing until somebody gives it
a provider. This does so where the environment names a place to send spans to.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from urllib.parse import urlsplit

from .settings import SettingsError

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

FLUSH = 3.0
"""Seconds that the last spans are given at the end: less than the grace a container gets after its calls."""


def configured(environment: Mapping[str, str] = os.environ) -> bool:
    return any(environment.get(name) for name in ENDPOINTS) and environment.get("OTEL_SDK_DISABLED") != "true"


def configure(name: str) -> bool:
    """Whether spans are sent, under OTEL_SERVICE_NAME or this name, and the address of the server.

    Raises SettingsError where they are asked for and what sends them is not installed, or is told no URL.
    """
    if not configured():
        return False
    for setting in ENDPOINTS:
        given = urlsplit(os.environ.get(setting) or "http://unset")
        if given.scheme not in ("http", "https") or not given.hostname:
            raise SettingsError(f"{setting} must be a URL such as http://collector.example.com:4318")
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise SettingsError(f"{ENDPOINTS[0]} needs the extra otel: pip install '{name}[otel]'") from error
    told = {"service.name": os.environ.get("OTEL_SERVICE_NAME", name)}
    if address := os.environ.get("MCP_PUBLIC_URL"):
        told["mcp.server.url"] = address  # many servers are the same program
    provider = TracerProvider(resource=Resource.create(told))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    return True


def flush() -> None:
    """Send what is not sent yet, before a signal ends the process; blocks for FLUSH at most.

    The SDK's own end is an atexit handler, which does not run when a process ends by SIGTERM. Its exporter
    waits longer for a collector that does not answer than a container is given to end.
    """
    if not configured():
        return
    from opentelemetry import trace

    if send := getattr(trace.get_tracer_provider(), "force_flush", None):
        sending = threading.Thread(target=send, name="last-spans", daemon=True)
        sending.start()
        sending.join(FLUSH)
