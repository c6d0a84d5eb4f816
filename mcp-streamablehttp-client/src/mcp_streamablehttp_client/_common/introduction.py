"""`server/discover` and `initialize`: one server introduced in the words of either era."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Raw

from . import jsonrpc
from .envelope import SERVER_INFO
from .jsonrpc import Members, Message
from .versions import HANDSHAKE_VERSIONS, LATEST_HANDSHAKE_VERSION, MODERN_VERSION

FRESHNESS = {"ttlMs": Raw(b"0"), "cacheScope": Raw(b'"private"')}
"""Cache hints for results of servers that give none: stale at once, for nobody else."""

_COMPLETE = Raw(b'"complete"')
_VERSIONS = Raw(jsonrpc.encode([MODERN_VERSION]))


def discover_from_initialize(introduction: Raw) -> bytes:
    """The result of `server/discover` for a server that was initialized."""
    known = jsonrpc.object_members(introduction)
    meta = jsonrpc.object_members(known.get("_meta"))
    if "serverInfo" in known:
        meta = {**meta, SERVER_INFO: known["serverInfo"]}
    rest = {k: v for k, v in known.items() if k not in ("protocolVersion", "serverInfo", "_meta")}
    result = {"resultType": _COMPLETE, "supportedVersions": _VERSIONS, "capabilities": Raw(b"{}"), **rest}
    return jsonrpc.dump({**FRESHNESS, **result, "_meta": jsonrpc.dump(meta)})


def initialize_from_discover(introduction: Raw, requested: str) -> bytes:
    """The result of `initialize` for a server that only knows `server/discover`."""
    known = jsonrpc.object_members(introduction)
    meta = jsonrpc.object_members(known.get("_meta"))
    info = meta.pop(SERVER_INFO, Raw(b'{"name":"unknown","version":"unknown"}'))
    version = requested if requested in HANDSHAKE_VERSIONS else LATEST_HANDSHAKE_VERSION
    left_out = ("resultType", "supportedVersions", "_meta", *FRESHNESS)
    result: dict[str, Raw | bytes] = {
        "protocolVersion": jsonrpc.encode(version),
        "capabilities": Raw(b"{}"),
        "serverInfo": info,
        **{key: value for key, value in known.items() if key not in left_out},
    }
    if meta:
        result["_meta"] = jsonrpc.dump(meta)
    return jsonrpc.dump(result)


def server_info(introduction: Raw | None) -> Raw | None:
    """How a server names itself, whichever era it introduced itself in."""
    known: Members = jsonrpc.object_members(introduction)
    return known.get("serverInfo") or jsonrpc.object_members(known.get("_meta")).get(SERVER_INFO)


def capabilities(introduction: Raw | None) -> Mapping[str, Members]:
    """The server's capabilities, each with the members of its settings."""
    known = jsonrpc.object_members(jsonrpc.object_members(introduction).get("capabilities"))
    return {name: jsonrpc.object_members(settings) for name, settings in known.items()}


def offers(introduction: Raw | None, capability: str, setting: str) -> bool:
    """Whether a server declared for example `tools.listChanged`."""
    value = capabilities(introduction).get(capability, {}).get(setting)
    return value is not None and bytes(value) == b"true"


def only_served_versions(result: Raw) -> Raw:
    """A server's own discover result, without versions that the relay does not serve."""
    members = jsonrpc.object_members(result)
    spoken = members.get("supportedVersions")
    if spoken is None or jsonrpc.decode(spoken) == [MODERN_VERSION]:
        return result
    return Raw(jsonrpc.dump({**members, "supportedVersions": _VERSIONS}))


def initialize_for(introduction: Members, requested: str) -> bytes:
    """The `initialize` result of a server that several sessions share, for one that asked for a version."""
    spoken = jsonrpc.decode(introduction["protocolVersion"])
    if requested in HANDSHAKE_VERSIONS and spoken in HANDSHAKE_VERSIONS:
        older = max(HANDSHAKE_VERSIONS.index(requested), HANDSHAKE_VERSIONS.index(spoken))
        spoken = HANDSHAKE_VERSIONS[older]
    return jsonrpc.dump({**introduction, "protocolVersion": jsonrpc.encode(spoken)})


def speaks_modern(discovered: Message | None) -> Raw | None:
    """The result of `server/discover` if it names the modern version; None for any other answer."""
    result = None if discovered is None else discovered.result
    versions = jsonrpc.object_members(result).get("supportedVersions")
    spoken = None if versions is None else jsonrpc.decode(versions)
    return result if isinstance(spoken, list) and MODERN_VERSION in spoken else None
