"""What a client declares that a server may ask of it, and the error for what it did not declare."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Raw

from . import jsonrpc
from .error_codes import MISSING_CAPABILITY
from .jsonrpc import Members

ASKED_OF_CLIENTS = frozenset(("elicitation/create", "sampling/createMessage", "roots/list"))
MAY_NEED_INPUT = frozenset(("tools/call", "prompts/get", "resources/read"))
"""The only requests that may be answered with `input_required` (MRTR, Supported Requests)."""

ALL_CAPABILITIES: Mapping[str, Any] = {
    "roots": {"listChanged": True},
    "sampling": {"context": {}, "tools": {}},
    "elicitation": {"form": {}, "url": {}},
}
"""All that a client can be asked for."""


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


def askable(method: str, capabilities: Mapping[str, Any]) -> bool:
    """Whether a server may ask the client something that this request needs."""
    return method in MAY_NEED_INPUT and not ALL_CAPABILITIES.keys().isdisjoint(capabilities)


def undeclared(needed: Mapping[str, Any]) -> str:
    """The sentence that refuses a server's question; a failure that repeats it came of the refusal."""
    names = [".".join((name, *settings)) for name, settings in needed.items()]
    return f"the client did not declare the capability {', '.join(names)}"


def missing_capability_error(needed: Iterable[Mapping[str, Any]], reason: str) -> Raw:
    """The error -32021 that names what the client would have to declare."""
    required: dict[str, dict[str, Any]] = {}
    for one in needed:
        for name, settings in one.items():
            required.setdefault(name, {}).update(settings)
    data = {"requiredCapabilities": required}
    return Raw(jsonrpc.encode({"code": MISSING_CAPABILITY, "message": reason, "data": data}))
