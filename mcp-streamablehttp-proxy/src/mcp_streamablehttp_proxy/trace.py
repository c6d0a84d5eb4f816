"""Trace context from HTTP headers into `_meta`, where a stdio server can see it (SEP-414)."""

from __future__ import annotations

from . import jsonrpc
from .http import Headers
from .jsonrpc import Message

_CARRIED = ((b"traceparent", "traceparent"), (b"tracestate", "tracestate"))


def carry(headers: Headers, message: Message) -> Message:
    """The request with `traceparent` and `tracestate` of its HTTP request, unless it has its own."""
    if b"traceparent" not in headers or "traceparent" in message.meta:
        return message
    found = {
        key: jsonrpc.encode(headers[name].decode("latin-1")) for name, key in _CARRIED if name in headers
    }
    meta = jsonrpc.dump({**message.meta, **found})
    return message.with_params({**message.params, "_meta": meta})
