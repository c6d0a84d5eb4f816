"""Results and errors from the handshake era, in the words of 2026-07-28, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from msgspec import Raw

from .. import jsonrpc
from ..jsonrpc import Members
from .discover import FRESHNESS
from .envelope import MISSING_CAPABILITY, SERVER_INFO

CACHEABLE: Final = frozenset(
    ("server/discover", "tools/list", "prompts/list", "resources/list", "resources/templates/list")
) | {"resources/read"}
REMOVED: Final = frozenset(
    ("initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe")
)
"""Requests of the handshake era that a stateless server does not know."""

URL_ELICITATION_REQUIRED: Final = -32042
_RESOURCE_NOT_FOUND: Final = -32002
_RESERVED: Final = range(-32099, -32019)
_COMPLETE: Final = Raw(b'"complete"')


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
    """A result without what only the stateless era says about it."""
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
    """An error object with no code that the stateless era has withdrawn or given another sense."""
    code = error_code(error)
    if code == _RESOURCE_NOT_FOUND:
        return _with_code(error, jsonrpc.INVALID_PARAMS)
    if code == URL_ELICITATION_REQUIRED or code in _RESERVED:
        return _with_code(error, jsonrpc.INTERNAL_ERROR)
    return error


def error_code(error: Raw) -> int:
    """The code of an error object; internal error if it has none."""
    raw = jsonrpc.object_members(error).get("code")
    code = None if raw is None else jsonrpc.decode(raw)
    return code if isinstance(code, int) else jsonrpc.INTERNAL_ERROR


def _with_code(error: Raw, code: int) -> Raw:
    return Raw(jsonrpc.dump({**jsonrpc.object_members(error), "code": b"%d" % code}))


# capabilities of the client

ASKED_OF_CLIENTS: Final = frozenset(("elicitation/create", "sampling/createMessage", "roots/list"))
MAY_NEED_INPUT: Final = frozenset(("tools/call", "prompts/get", "resources/read"))
"""The only requests that may be answered with `input_required` (MRTR, Supported Requests)."""


def needed_capability(method: str, params: Members) -> dict[str, Any]:
    """What a client must have declared to be asked this."""
    if method == "roots/list":
        return {"roots": {}}
    if method == "sampling/createMessage":
        return {"sampling": {"tools": {}} if "tools" in params else {}}
    mode = params.get("mode")
    return {"elicitation": {"url" if mode is not None and bytes(mode) == b'"url"' else "form": {}}}


def declares(capabilities: Mapping[str, Any], needed: Mapping[str, Any]) -> bool:
    """Whether declared capabilities cover the needed one; a bare `elicitation` covers forms."""
    for name, settings in needed.items():
        declared = capabilities.get(name)
        if not isinstance(declared, dict):
            return False
        if name == "elicitation" and "form" in settings and not declared:
            continue
        if any(setting not in declared for setting in settings):
            return False
    return True


def missing_capability_error(needed: Iterable[Mapping[str, Any]], reason: str) -> Raw:
    """The error -32021 that names what the client would have to declare."""
    required: dict[str, dict[str, Any]] = {}
    for one in needed:
        for name, settings in one.items():
            required.setdefault(name, {}).update(settings)
    data = {"requiredCapabilities": required}
    return Raw(jsonrpc.encode({"code": MISSING_CAPABILITY, "message": reason, "data": data}))
