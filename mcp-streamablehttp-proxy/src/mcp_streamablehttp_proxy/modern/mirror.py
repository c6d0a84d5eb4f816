"""Headers that mirror the body (MCP 2026-07-28, Streamable HTTP, Request Metadata)."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from .. import jsonrpc
from ..http import Headers, Refused
from ..jsonrpc import Message
from .envelope import HEADER_MISMATCH

_NAMED: Final = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
_NAMED_IF_SENT: Final = {"tasks/get": "taskId", "tasks/update": "taskId", "tasks/cancel": "taskId"}
_SENTINEL: Final = re.compile(r"=\?base64\?(.*)\?=", re.DOTALL)
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_DECIMAL: Final = re.compile(r"-?[0-9]{1,400}(?:\.0*)?")
_TYPES: Final = ("string", "integer", "boolean")
_PARAM: Final = b"mcp-param-"
_ANNOTATION: Final = "x-mcp-header"
_ONE: Final = frozenset(
    [
        "items",
        "contains",
        "unevaluatedItems",
        "additionalProperties",
        "propertyNames",
        "unevaluatedProperties",
        "not",
        "if",
        "then",
        "else",
        "contentSchema",
    ]
)
_LISTED: Final = frozenset(("allOf", "anyOf", "oneOf", "prefixItems"))
_MAPPED: Final = frozenset(("patternProperties", "dependentSchemas", "$defs", "definitions"))


@dataclass(frozen=True, slots=True)
class Mirrored:
    """A tool's argument that the client repeats in the header `Mcp-Param-{name}`."""

    name: str
    path: tuple[str, ...]
    type: str

    @property
    def header(self) -> bytes:
        return _PARAM + self.name.lower().encode()


def check_headers(message: Message, headers: Headers) -> None:
    """Raises Refused (-32020) unless Mcp-Method and Mcp-Name repeat what the body says."""
    if headers.get(b"mcp-method", b"").decode("latin-1") != message.method:
        raise _mismatch("Mcp-Method", "the method in the body")
    member = _NAMED.get(message.method)
    if member is None:
        member = _NAMED_IF_SENT.get(message.method) if b"mcp-name" in headers else None
    if member is None or (raw := message.params.get(member)) is None:
        return
    value = jsonrpc.decode(raw)
    if value is not None and decode_value(headers.get(b"mcp-name")) != value:
        raise _mismatch("Mcp-Name", f"params.{member}")


def concerns_params(message: Message, headers: Headers) -> bool:
    """Whether a tool's schema is needed to check this request's `Mcp-Param-*` headers."""
    if message.method != "tools/call":
        return False
    arguments = message.params.get("arguments")
    return (arguments is not None and bytes(arguments) not in (b"{}", b"null")) or any(
        name.startswith(_PARAM) for name in headers
    )


def check_params(message: Message, headers: Headers, mirrored: tuple[Mirrored, ...]) -> None:
    """Raises Refused (-32020) unless every argument to be mirrored is mirrored, and truly."""
    if not mirrored:
        return
    raw = message.params.get("arguments")
    arguments = None if raw is None else jsonrpc.decode(raw)
    for one in mirrored:
        sent = headers.get(one.header)
        value = _at(arguments, one.path)
        where = f"params.arguments.{'.'.join(one.path)}"
        written = _written(value)
        if written is None:
            if sent is not None:
                raise _mismatch(f"Mcp-Param-{one.name}", where)
        elif sent is None:
            raise Refused(400, HEADER_MISMATCH, f"header Mcp-Param-{one.name} is missing, {where} is not")
        else:
            decoded = decode_value(sent)
            if decoded is None or not (decoded == written or _same_integer(one, decoded, value)):
                raise _mismatch(f"Mcp-Param-{one.name}", where)


def decode_value(value: bytes | None) -> str | None:
    """A header's value with the base64 sentinel undone; None for none and for a malformed one."""
    if value is None:
        return None
    text = value.decode("latin-1")
    found = _SENTINEL.fullmatch(text)
    if found is None:
        return text
    try:
        data = base64.b64decode(found[1], validate=True)
        return data.decode() if base64.b64encode(data).decode() == found[1] else None
    except (binascii.Error, ValueError):
        return None


def mirrored_by(schema: Any) -> tuple[Mirrored, ...]:
    """The arguments that a tool's inputSchema wants mirrored.

    None for an invalid annotation: conforming clients drop such a tool and send no headers.
    """
    found: dict[str, Mirrored] = {}
    for path, position in _positions(schema):
        if _ANNOTATION not in position:
            continue
        name, type_ = position[_ANNOTATION], position.get("type")
        if not path or not isinstance(name, str) or not _TOKEN.fullmatch(name):
            return ()
        if type_ not in _TYPES or name.lower() in found:
            return ()
        found[name.lower()] = Mirrored(name, path, type_)
    return tuple(found.values())


def _positions(root: Any) -> Iterator[tuple[tuple[str, ...] | None, Mapping[str, Any]]]:
    """Every schema within a schema, with its path where that leads through `properties` only."""
    waiting: list[tuple[tuple[str, ...] | None, Any]] = [((), root)]
    while waiting:
        path, schema = waiting.pop()
        if not isinstance(schema, dict):
            continue
        yield path, schema
        for keyword, value in schema.items():
            if keyword == "properties" and isinstance(value, dict):
                waiting.extend((None if path is None else (*path, key), sub) for key, sub in value.items())
            elif keyword in _ONE:
                waiting.append((None, value))
            elif keyword in _LISTED and isinstance(value, list):
                waiting.extend((None, sub) for sub in value)
            elif keyword in _MAPPED and isinstance(value, dict):
                waiting.extend((None, sub) for sub in value.values())


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def _written(value: Any) -> str | None:
    """A value as clients write it into a header; None for what has no such form."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float)):
        try:
            return str(value)
        except ValueError:
            return None
    return None


def _same_integer(one: Mirrored, decoded: str, value: Any) -> bool:
    if one.type != "integer" or isinstance(value, (bool, str)) or value != value // 1:
        return False
    return _DECIMAL.fullmatch(decoded) is not None and int(decoded.partition(".")[0]) == int(value)


def _mismatch(header: str, where: str) -> Refused:
    return Refused(400, HEADER_MISMATCH, f"header {header} does not match {where}")
