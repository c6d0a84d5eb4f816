"""Results and errors of the handshake era in the words of 2026-07-28, and back."""

from __future__ import annotations

from msgspec import Raw

from . import jsonrpc
from .envelope import SERVER_INFO
from .error_codes import INTERNAL_ERROR, INVALID_PARAMS
from .introduction import FRESHNESS
from .jsonrpc import Members

CACHEABLE = frozenset(
    ("server/discover", "tools/list", "prompts/list", "resources/list", "resources/templates/list")
) | {"resources/read"}
REMOVED = frozenset(
    ("initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe")
)
"""Requests of the handshake era that a modern server does not know."""

URL_ELICITATION_REQUIRED = -32042
RESOURCE_NOT_FOUND = -32002
_RESERVED = range(-32099, -32019)
_COMPLETE = Raw(b'"complete"')


def result_to_modern(result: Raw, method: str, server_info: Raw | None) -> bytes:
    """A result with resultType, who answered, and cache hints where the method needs them."""
    members = jsonrpc.object_members(result)
    added: Members = {} if "resultType" in members else {"resultType": _COMPLETE}
    if method in CACHEABLE:
        added.update({key: value for key, value in FRESHNESS.items() if key not in members})
    merged: dict[str, Raw | bytes] = {**added, **members}
    if server_info is not None:
        meta = {SERVER_INFO: server_info, **jsonrpc.object_members(members.get("_meta"))}
        merged["_meta"] = jsonrpc.dump(meta)
    return jsonrpc.dump(merged)


def result_to_handshake(result: Raw, method: str) -> bytes:
    """A result without what only the modern era says about it."""
    members = dict(jsonrpc.object_members(result))
    if members.get("resultType") == _COMPLETE:
        del members["resultType"]
    if method in CACHEABLE:
        for hint in FRESHNESS:
            members.pop(hint, None)
    meta = jsonrpc.object_members(members.pop("_meta", None))
    meta.pop(SERVER_INFO, None)
    if meta:
        members["_meta"] = Raw(jsonrpc.dump(meta))
    return jsonrpc.dump(members)


def error_to_modern(error: Raw) -> Raw:
    """An error object with no code that the modern era has withdrawn or given another sense."""
    code = error_code(error)
    if code == RESOURCE_NOT_FOUND:
        return _with_code(error, INVALID_PARAMS)
    if code == URL_ELICITATION_REQUIRED or code in _RESERVED:
        return _with_code(error, INTERNAL_ERROR)
    return error


def error_code(error: Raw) -> int:
    """The code of an error object; internal error if it has none."""
    raw = jsonrpc.object_members(error).get("code")
    code = None if raw is None else jsonrpc.decode(raw)
    return code if isinstance(code, int) else INTERNAL_ERROR


def _with_code(error: Raw, code: int) -> Raw:
    return Raw(jsonrpc.dump({**jsonrpc.object_members(error), "code": b"%d" % code}))
