"""JSON-RPC as raw text: parsed to route it, never re-modelled."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

Id = str | int | float

MODERN_VERSION_KEY = "io.modelcontextprotocol/protocolVersion"


@dataclass(slots=True)
class Message:
    """One line from the host. `ids` names the requests in it that await an answer."""

    raw: bytes
    value: Any
    ids: tuple[Id, ...]

    @property
    def method(self) -> str | None:
        method = self.value.get("method") if isinstance(self.value, dict) else None
        return method if isinstance(method, str) else None

    @property
    def params(self) -> dict[str, Any]:
        params = self.value.get("params") if isinstance(self.value, dict) else None
        return params if isinstance(params, dict) else {}

    @property
    def modern_version(self) -> str | None:
        """The version in the 2026-07-28 envelope, None for the handshake era."""
        meta = self.params.get("_meta")
        version = meta.get(MODERN_VERSION_KEY) if isinstance(meta, dict) else None
        return version if isinstance(version, str) else None


def parse(raw: bytes) -> Message:
    """Raises ValueError when the line is not JSON, or not an object or a batch of objects."""
    value = json.loads(raw)
    items = value if isinstance(value, list) else [value]
    if not items or not all(isinstance(item, dict) for item in items):
        raise ValueError("not a JSON-RPC message")
    return Message(raw, value, tuple(i for item in items if (i := request_id(item)) is not None))


def request_id(item: dict[str, Any]) -> Id | None:
    """The id of a request; None for notifications, answers and ids of a wrong type."""
    if "method" not in item:
        return None
    return _id(item)


def answered_ids(value: Any) -> tuple[Id, ...]:
    """The ids of the answers in a message (or batch) from the server."""
    items = value if isinstance(value, list) else [value]
    return tuple(
        i
        for item in items
        if isinstance(item, dict) and "method" not in item and (i := _id(item)) is not None
    )


def _id(item: dict[str, Any]) -> Id | None:
    identifier = item.get("id")
    if isinstance(identifier, bool) or not isinstance(identifier, (str, int, float)):
        return None
    return identifier


def encode(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def error(identifier: Id | None, code: int, text: str, data: Any = None) -> bytes:
    body: dict[str, Any] = {"code": code, "message": text}
    if data is not None:
        body["data"] = data
    return encode({"jsonrpc": "2.0", "id": identifier, "error": body})


def rpc_error(body: bytes) -> dict[str, Any] | None:
    """The JSON-RPC error in the body of an HTTP error, None when there is none."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and isinstance(value.get("error"), dict) else None


def one_line(raw: bytes) -> bytes:
    """The same JSON without line ends: outside strings they are only white space."""
    if b"\n" in raw or b"\r" in raw:
        raw = raw.replace(b"\r", b" ").replace(b"\n", b" ")
    return raw
