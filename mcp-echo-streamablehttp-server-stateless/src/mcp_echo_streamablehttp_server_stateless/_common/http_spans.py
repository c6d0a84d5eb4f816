"""A span of each HTTP request, below the one that its `traceparent` header names (W3C Trace Context).

Of an address only the route is told, and of headers, queries and bodies nothing: codes and tokens are there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .telemetry import configured

if TYPE_CHECKING:
    from fastapi.telemetry import TelemetryConfig
    from opentelemetry.trace import Span
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

CARRIED = (b"traceparent", b"tracestate", b"baggage")
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
UPKEEP = frozenset({"/health", "/live", "/metrics"})
"""What is asked every few seconds by whoever watches, and would bury everything else."""

NOT_FASTAPIS: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False}
"""For `telemetry` of FastAPI, whose own spans hold queries, and which records what its exceptions say."""

Route = Callable[[str], str | None]
"""What the path of a request is called that no router of the framework's took."""


def traced(app: ASGIApp, route: Route) -> ASGIApp:
    """The application itself, unless spans are sent."""
    return HttpSpans(app, route) if configured() else app


class HttpSpans:
    """ASGI. What is below runs in the span's context, as do the spans that it makes."""

    def __init__(self, app: ASGIApp, route: Route) -> None:
        from opentelemetry.trace import get_tracer

        self._app = app
        self._route = route
        self._tracer = get_tracer("mcp-oauth-gateway")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].rstrip("/") in UPKEEP:
            await self._app(scope, receive, send)
            return
        from opentelemetry.propagate import extract
        from opentelemetry.trace import SpanKind

        method = scope["method"] if scope["method"] in METHODS else "_OTHER"
        given = {
            name.decode(): value.decode("latin-1") for name, value in scope["headers"] if name in CARRIED
        }
        with self._tracer.start_as_current_span(
            method,
            extract(given),
            SpanKind.SERVER,
            {"http.request.method": method},
            record_exception=False,  # its text may be anybody's
            set_status_on_exception=False,
        ) as span:
            try:
                await self._app(scope, receive, _noting(span, send))
            except Exception as error:
                _fail(span, type(error).__qualname__)
                raise
            finally:
                if route := getattr(scope.get("route"), "path", None) or self._route(scope["path"]):
                    span.update_name(f"{method} {route}")
                    span.set_attribute("http.route", route)


def _noting(span: Span, send: Send) -> Send:
    async def noting(message: Message) -> None:
        if message["type"] == "http.response.start":
            span.set_attribute("http.response.status_code", message["status"])
            if message["status"] >= 500:
                _fail(span, str(message["status"]))
        await send(message)

    return noting


def _fail(span: Span, kind: str) -> None:
    from opentelemetry.trace import StatusCode

    span.set_attribute("error.type", kind)
    span.set_status(StatusCode.ERROR)
