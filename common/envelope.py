"""What every modern request carries in `_meta` (MCP 2026-07-28, Base Protocol)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from msgspec import Raw

from . import jsonrpc
from .error_codes import INVALID_PARAMS
from .jsonrpc import Members, Message, MessageError
from .versions import MODERN_VERSION

_PREFIX = "io.modelcontextprotocol/"
PROTOCOL_VERSION = f"{_PREFIX}protocolVersion"
CLIENT_INFO = f"{_PREFIX}clientInfo"
CLIENT_CAPABILITIES = f"{_PREFIX}clientCapabilities"
LOG_LEVEL = f"{_PREFIX}logLevel"
SERVER_INFO = f"{_PREFIX}serverInfo"
SUBSCRIPTION_ID = f"{_PREFIX}subscriptionId"

LOG_LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
"""RFC 5424 severities, the most verbose first."""

_ENVELOPE = frozenset((PROTOCOL_VERSION, CLIENT_INFO, CLIENT_CAPABILITIES, LOG_LEVEL))


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who asks, as far as one request says so."""

    version: str
    capabilities: Mapping[str, Any]
    log_level: int | None
    """Index into LOG_LEVELS; None when the request wants no log messages."""

    def wants(self, message: Message) -> bool:
        """Whether a log message is of a level that the request asked for."""
        raw = message.params.get("level")
        level = None if raw is None else jsonrpc.decode(raw)
        return (
            self.log_level is not None and level in LOG_LEVELS and LOG_LEVELS.index(level) >= self.log_level
        )


def read_envelope(message: Message) -> Envelope:
    """The envelope of a request. Raises MessageError (-32602) if it is incomplete or malformed."""
    meta = message.meta
    missing = [key for key in (PROTOCOL_VERSION, CLIENT_CAPABILITIES) if key not in meta]
    if missing:
        raise _invalid(f"params._meta lacks {' and '.join(missing)}")
    version = jsonrpc.decode(meta[PROTOCOL_VERSION])
    if not isinstance(version, str):
        raise _invalid(f"{PROTOCOL_VERSION} must be a string")
    capabilities = jsonrpc.decode(meta[CLIENT_CAPABILITIES])
    if not isinstance(capabilities, dict):
        raise _invalid(f"{CLIENT_CAPABILITIES} must be an object")
    return Envelope(version, capabilities, _log_level(meta.get(LOG_LEVEL)))


def _invalid(reason: str) -> MessageError:
    return MessageError(INVALID_PARAMS, reason)


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
    """The request as the modern era wants it; `envelope` holds the members of `_meta` to add."""
    meta = jsonrpc.dump({**message.meta, **envelope})
    return message.with_params({**message.params, "_meta": meta})


def envelope_of(client_info: Raw, capabilities: Raw) -> dict[str, Raw]:
    """The members of `_meta` for requests of one client."""
    return {
        PROTOCOL_VERSION: Raw(jsonrpc.encode(MODERN_VERSION)),
        CLIENT_INFO: client_info,
        CLIENT_CAPABILITIES: capabilities,
    }


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
