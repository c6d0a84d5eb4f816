"""A span of each request to a server, under the names of OpenTelemetry's conventions for MCP.

What the server gets names this span as its parent (`_meta.traceparent`, SEP-414), so that a trace goes on
from the edge into the process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ._common import jsonrpc
from ._common.channel import Turn
from ._common.telemetry import configured
from .wire import trace

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Link, Span, Tracer

_LONGEST = 128
"""Characters of a name, which is the caller's word."""


class Spans:
    """The spans of one server's calls."""

    def __init__(self, server: str, tracer: Tracer) -> None:
        self._server = server
        self._tracer = tracer

    def open(self, turn: Turn, outcome: Callable[[Turn], str]) -> None:
        """Open a span until the turn is settled; to be called before it is sent. A subscription has none."""
        if turn.background:
            return
        from opentelemetry.trace import SpanKind

        message = turn.message
        method = word(message.method)
        attributes = {"mcp.method.name": method, "mcp.server.name": self._server}
        if turn.principal:
            attributes["user.id"] = turn.principal
        name = method
        if method == "tools/call":
            tool = jsonrpc.text(message.params.get("name"))
            if tool is not None:
                attributes["gen_ai.tool.name"] = word(tool)
                name = f"{method} {word(tool)}"
        parent, links = _origin(trace.carried(message))
        span = self._tracer.start_span(name, parent, SpanKind.SERVER, attributes, links)
        turn.message = trace.carry(_as_headers(span), message, replace=True)
        turn.then(lambda turn: _close(span, outcome(turn)))


def spans(server: str) -> Spans | None:
    """The spans of a server; None unless they are sent."""
    if not configured():
        return None
    from opentelemetry.trace import get_tracer

    return Spans(server, get_tracer("mcp-streamablehttp-proxy"))


def word(text: str) -> str:
    """What fits into a span or a metric: one string that is no Unicode keeps a whole batch of spans from
    being sent, and all metrics from being read."""
    return text[:_LONGEST].encode(errors="replace").decode()


def _origin(carried: dict[str, str]) -> tuple[Context | None, list[Link]]:
    """The parent of a span, and what it is linked with.

    The HTTP request's span, which is the nearest, unless the client's words name another trace: that is the
    client's own, and the HTTP request is linked.
    """
    from opentelemetry.propagate import extract
    from opentelemetry.trace import Link, get_current_span

    here = get_current_span().get_span_context()
    told = extract(carried)
    client = get_current_span(told).get_span_context()
    if not client.is_valid or client.trace_id == here.trace_id:
        return None, []
    return told, [Link(here)] if here.is_valid else []


def _as_headers(span: Span) -> dict[bytes, bytes]:
    from opentelemetry.propagate import inject
    from opentelemetry.trace import set_span_in_context

    carrier: dict[str, str] = {}
    inject(carrier, set_span_in_context(span))
    return {name.encode(): value.encode("latin-1") for name, value in carrier.items()}


def _close(span: Span, outcome: str) -> None:
    from opentelemetry.trace import StatusCode

    if outcome not in ("ok", "input_required"):
        span.set_attribute("error.type", outcome)
        span.set_status(StatusCode.ERROR)
    span.end()
