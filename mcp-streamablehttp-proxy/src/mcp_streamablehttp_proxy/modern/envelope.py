"""What every request of the stateless era carries in `_meta` (MCP 2026-07-28, Base Protocol)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from msgspec import Raw

from .. import jsonrpc
from ..http import Headers, Refused
from ..jsonrpc import Members, Message
from ..settings import MODERN_VERSION

HEADER_MISMATCH: Final = -32020
MISSING_CAPABILITY: Final = -32021
UNSUPPORTED_VERSION: Final = -32022

_PREFIX: Final = "io.modelcontextprotocol/"
PROTOCOL_VERSION: Final = f"{_PREFIX}protocolVersion"
CLIENT_INFO: Final = f"{_PREFIX}clientInfo"
CLIENT_CAPABILITIES: Final = f"{_PREFIX}clientCapabilities"
LOG_LEVEL: Final = f"{_PREFIX}logLevel"
SERVER_INFO: Final = f"{_PREFIX}serverInfo"
SUBSCRIPTION_ID: Final = f"{_PREFIX}subscriptionId"

LOG_LEVELS: Final = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
"""RFC 5424 severities, the most verbose first."""

_ENVELOPE: Final = frozenset((PROTOCOL_VERSION, CLIENT_INFO, CLIENT_CAPABILITIES, LOG_LEVEL))
_VERSION_HEADER: Final = b"mcp-protocol-version"
_VERSION_RAW: Final = b'"%b"' % MODERN_VERSION.encode()


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who asks, as far as one request says so."""

    capabilities: Mapping[str, Any]
    log_level: int | None
    """Index into LOG_LEVELS; None when the request wants no log messages."""


def check_version(headers: Headers) -> None:
    """Raises Refused (-32020, -32022) unless the header names the version that is served."""
    named = headers.get(_VERSION_HEADER)
    if named is None:
        raise Refused(400, HEADER_MISMATCH, "header MCP-Protocol-Version is missing")
    if named != MODERN_VERSION.encode():
        raise _unsupported(named.decode("latin-1"))


def read_envelope(message: Message, headers: Headers) -> Envelope:
    """The envelope of a request. Raises Refused (400): -32602, -32020 or -32022."""
    meta = message.meta
    declared = meta.get(PROTOCOL_VERSION)
    if declared is None and headers.get(_VERSION_HEADER, MODERN_VERSION.encode()) != MODERN_VERSION.encode():
        raise _unsupported(headers[_VERSION_HEADER].decode("latin-1"))
    missing = [key for key in (PROTOCOL_VERSION, CLIENT_CAPABILITIES) if key not in meta]
    if declared is None or missing:
        raise _invalid(f"params._meta lacks {' and '.join(missing)}")
    if bytes(declared) != _VERSION_RAW or headers.get(_VERSION_HEADER) != MODERN_VERSION.encode():
        _refuse_version(declared, headers.get(_VERSION_HEADER))
    capabilities = jsonrpc.decode(meta[CLIENT_CAPABILITIES])
    if not isinstance(capabilities, dict):
        raise _invalid(f"{CLIENT_CAPABILITIES} must be an object")
    return Envelope(capabilities, _log_level(meta.get(LOG_LEVEL)))


def _refuse_version(declared: Raw, named: bytes | None) -> None:
    version = jsonrpc.decode(declared)
    if not isinstance(version, str):
        raise _invalid(f"{PROTOCOL_VERSION} must be a string")
    if named is None or named.decode("latin-1") != version:
        raise Refused(
            400, HEADER_MISMATCH, "header MCP-Protocol-Version does not match the version in params._meta"
        )
    if version != MODERN_VERSION:
        raise _unsupported(version)


def _unsupported(requested: str) -> Refused:
    data = {"supported": [MODERN_VERSION], "requested": requested}
    return Refused(400, UNSUPPORTED_VERSION, f"protocol version {requested} is not supported", data=data)


def _invalid(reason: str) -> Refused:
    return Refused(400, jsonrpc.INVALID_PARAMS, reason)


def _log_level(raw: Raw | None) -> int | None:
    if raw is None:
        return None
    level = jsonrpc.decode(raw)
    if level not in LOG_LEVELS:
        raise _invalid(f"{LOG_LEVEL} must be one of {', '.join(LOG_LEVELS)}")
    return LOG_LEVELS.index(level)


def unwrap(message: Message, *also: str) -> Message:
    """The request as the handshake era knows it: without the envelope, nor the params named."""
    meta = {key: value for key, value in message.meta.items() if key not in _ENVELOPE}
    params: Members = {key: value for key, value in message.params.items() if key not in also}
    if meta:
        params["_meta"] = Raw(jsonrpc.dump(meta))
    else:
        params.pop("_meta", None)
    return message.with_params(params)


def wrap(message: Message, envelope: Mapping[str, Raw]) -> Message:
    """The request as the stateless era wants it; `envelope` holds the members of `_meta` to add."""
    meta = jsonrpc.dump({**message.meta, **envelope})
    return message.with_params({**message.params, "_meta": meta})


def tag(message: Message, key: str, value: bytes | None) -> Message:
    """The message with one member of `params._meta` set, or with None removed."""
    meta = dict(message.meta)
    meta.pop(key, None)
    if value is not None:
        meta[key] = Raw(value)
    params = dict(message.params)
    params.pop("_meta", None)
    if meta:
        params["_meta"] = Raw(jsonrpc.dump(meta))
    return message.with_params(params)
