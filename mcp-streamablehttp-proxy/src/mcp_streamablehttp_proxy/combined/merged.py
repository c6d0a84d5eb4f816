"""Introductions and lists of several servers, as those of one."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import Raw

from .._common import jsonrpc
from .._common.envelope import SERVER_INFO
from .._common.error_codes import INVALID_PARAMS
from .._common.introduction import FRESHNESS
from .._common.jsonrpc import Members, MessageError
from .._common.versions import MODERN_VERSION

_LISTS = ("tools", "prompts", "resources")


@dataclass(frozen=True, slots=True)
class Listing:
    """One of the methods that list something."""

    member: str
    """Of the result."""
    key: str
    """What an item is called by."""
    named: bool
    """Whether that is a name, which gets a prefix; else it is a URI."""


LISTINGS: Mapping[str, Listing] = {
    "tools/list": Listing("tools", "name", named=True),
    "prompts/list": Listing("prompts", "name", named=True),
    "resources/list": Listing("resources", "uri", named=False),
    "resources/templates/list": Listing("resourceTemplates", "uriTemplate", named=False),
}


def introduction(info: Mapping[str, str], parts: Mapping[str, Raw]) -> bytes:
    """The result of `server/discover`; `parts` are the servers' own, by name."""
    known = {server: jsonrpc.object_members(part) for server, part in parts.items()}
    capabilities: dict[str, Any] = {}
    for part in known.values():
        declared = jsonrpc.decode(part.get("capabilities", b"{}"))
        _add(capabilities, declared if isinstance(declared, dict) else {})
    for name in _LISTS:
        if name in capabilities:
            # A server that is away now may come back, and its tools with it.
            capabilities[name] = {**capabilities[name], "listChanged": True}
    result: dict[str, object] = {
        "resultType": "complete",
        "supportedVersions": [MODERN_VERSION],
        "capabilities": capabilities,
        **FRESHNESS,
        "_meta": {SERVER_INFO: info},
    }
    told = {server: jsonrpc.decode(part.get("instructions", b"null")) for server, part in known.items()}
    instructions = [f"# {server}\n\n{text.strip()}" for server, text in told.items() if isinstance(text, str)]
    if instructions:
        result["instructions"] = "\n\n".join(instructions)
    return jsonrpc.encode(result)


def _add(capabilities: dict[str, Any], declared: Mapping[str, Any]) -> None:
    """What one server can do as well; the first to say how decides."""
    for name, settings in declared.items():
        known = capabilities.get(name)
        if isinstance(known, dict) and isinstance(settings, dict):
            for setting, value in settings.items():
                known[setting] = known.get(setting) or value
        elif known is None:
            capabilities[name] = dict(settings) if isinstance(settings, dict) else settings


def page(
    listing: Listing,
    parts: Mapping[str, Raw],
    show: Callable[[str, str], str | None],
    *,
    whole: bool,
    info: Mapping[str, str],
) -> bytes:
    """One page of a list, from a page of each server.

    `show` has for a server and what it calls something what clients call it, or None; `whole` is whether no
    server is missing, without which clients must not keep the page.
    """
    items: list[bytes] = []
    cursors: dict[str, str] = {}
    fresh: list[float] = [] if whole else [0]
    public = whole
    for server, part in parts.items():
        result = jsonrpc.object_members(part)
        items.extend(_items(listing, server, result, show))
        cursor = jsonrpc.decode(result.get("nextCursor", b"null"))
        if isinstance(cursor, str):
            cursors[server] = cursor
        ttl = jsonrpc.decode(result.get("ttlMs", b"0"))
        fresh.append(ttl if isinstance(ttl, int | float) else 0)
        public = public and bytes(result.get("cacheScope", b"")) == b'"public"'
    merged: dict[str, Raw | bytes] = {
        "resultType": b'"complete"',
        listing.member: b"[" + b",".join(items) + b"]",
        "ttlMs": jsonrpc.encode(min(fresh, default=0)),
        "cacheScope": b'"public"' if public and parts else b'"private"',
        "_meta": jsonrpc.encode({SERVER_INFO: info}),
    }
    if cursors:
        merged["nextCursor"] = jsonrpc.encode(base64.urlsafe_b64encode(jsonrpc.encode(cursors)).decode())
    return jsonrpc.dump(merged)


def _items(
    listing: Listing, server: str, result: Members, show: Callable[[str, str], str | None]
) -> Iterable[bytes]:
    try:
        listed = msgspec.json.decode(result.get(listing.member, b"[]"), type=list[Raw])
    except msgspec.DecodeError:
        return
    for item in listed:
        members = jsonrpc.object_members(item)
        own = jsonrpc.decode(members.get(listing.key, b"null"))
        shown = show(server, own) if isinstance(own, str) else None
        if shown == own:
            yield bytes(item)
        elif shown is not None:
            yield jsonrpc.dump({**members, listing.key: jsonrpc.encode(shown)})


def cursors(raw: Raw | None) -> dict[str, str] | None:
    """Where each server goes on, for a cursor of `page`; None for the first page. Raises MessageError."""
    if raw is None:
        return None
    try:
        text = jsonrpc.decode(raw)
        if isinstance(text, str):  # as long as the servers' own are; the cap on bodies bounds it
            return msgspec.json.decode(base64.urlsafe_b64decode(text), type=dict[str, str])
    except (binascii.Error, ValueError):
        pass
    raise MessageError(INVALID_PARAMS, "cursor is none that this server gave; list from the start")
