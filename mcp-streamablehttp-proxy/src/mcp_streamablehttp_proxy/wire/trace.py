"""Trace context from HTTP headers into `_meta`, where a stdio server can see it (SEP-414)."""

from __future__ import annotations

from .._common import jsonrpc
from .._common.jsonrpc import Message
from .http import Headers

_PARENT = "traceparent"
_CARRIED = (_PARENT, "tracestate")


def carry(headers: Headers, message: Message, *, replace: bool = False) -> Message:
    """The request with `traceparent` and `tracestate` of these headers, unless it has its own and these are
    not to `replace` them."""
    if b"traceparent" not in headers or (_PARENT in message.meta and not replace):
        return message
    found = {
        name: jsonrpc.encode(headers[name.encode()].decode("latin-1"))
        for name in _CARRIED
        if name.encode() in headers
    }
    kept = {name: value for name, value in message.meta.items() if name not in _CARRIED}
    return message.with_params({**message.params, "_meta": jsonrpc.dump({**kept, **found})})


def carried(message: Message) -> dict[str, str]:
    """What the request itself says of its trace."""
    found = {name: jsonrpc.decode(message.meta[name]) for name in _CARRIED if name in message.meta}
    return {name: value for name, value in found.items() if isinstance(value, str)}
