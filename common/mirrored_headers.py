"""Headers that repeat a request's body, sent and checked from one source (MCP 2026-07-28, Streamable HTTP,
Request Metadata).

`Mcp-Method` and `Mcp-Name` repeat what is asked for; `Mcp-Param-{name}` repeats the arguments whose schema
carries the annotation `x-mcp-header`.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

ANNOTATION = "x-mcp-header"
PARAM_PREFIX = "Mcp-Param-"

NAMED_BY: Mapping[str, str] = {
    "tools/call": "name",
    "prompts/get": "name",
    "resources/read": "uri",
    "tasks/get": "taskId",
    "tasks/update": "taskId",
    "tasks/cancel": "taskId",
}
"""The member of a method's params that Mcp-Name repeats."""

_NAME_OPTIONAL = frozenset(("tasks/get", "tasks/update", "tasks/cancel"))
"""The tasks extension asks for the header; clients older than it do not send it."""

_SENTINEL = re.compile(r"=\?base64\?(.*)\?=", re.DOTALL)
_SAFE = re.compile(r"(?:[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)?")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_DECIMAL = re.compile(r"-?[0-9]{1,400}(?:\.0*)?")
_TYPES = ("string", "integer", "boolean")

# The schema positions of JSON Schema 2020-12. Nothing below any other keyword is an annotation, and only
# `properties` leads to an argument.
_ONE = frozenset(
    (
        "additionalProperties",
        "contains",
        "contentSchema",
        "else",
        "if",
        "items",
        "not",
        "propertyNames",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
    )
)
_LISTED = frozenset(("allOf", "anyOf", "oneOf", "prefixItems"))
_MAPPED = frozenset(("patternProperties", "dependentSchemas", "$defs", "definitions"))


class InvalidAnnotationError(ValueError):
    """Why conforming clients drop a tool and servers expect no headers for it."""


class MismatchError(ValueError):
    """A header and the body disagree: 400 and error -32020. The text is one sentence."""


@dataclass(frozen=True, slots=True)
class Mirrored:
    """An argument that is repeated in the header `Mcp-Param-{name}`."""

    name: str
    path: tuple[str, ...]
    type: str

    @property
    def header(self) -> str:
        return PARAM_PREFIX + self.name


def mirrored_arguments(schema: Any) -> tuple[Mirrored, ...]:
    """The arguments that a tool's inputSchema wants repeated. Raises InvalidAnnotationError."""
    found: dict[str, Mirrored] = {}
    for path, position in _positions(schema):
        if ANNOTATION not in position:
            continue
        name, type_ = position[ANNOTATION], position.get("type")
        if not path:
            raise InvalidAnnotationError(f"an {ANNOTATION} is not on a plain property")
        where = ".".join(path)
        if not isinstance(name, str) or not _TOKEN.fullmatch(name):
            raise InvalidAnnotationError(f"the {ANNOTATION} of {where} is not a header token")
        if type_ not in _TYPES:
            raise InvalidAnnotationError(f"{where} is not a string, integer or boolean")
        if name.lower() in found:
            raise InvalidAnnotationError(f"the {ANNOTATION} {name} occurs twice")
        found[name.lower()] = Mirrored(name, path, type_)
    return tuple(found.values())


def request_headers(
    method: str, params: Mapping[str, Any], mirrored: Iterable[Mirrored] = ()
) -> list[tuple[str, str]]:
    """The headers of a request; `mirrored` belongs to the tool that is called."""
    headers = [("Mcp-Method", encode(method))]
    name = params.get(NAMED_BY.get(method, ""))
    if isinstance(name, str):
        headers.append(("Mcp-Name", encode(name)))
    for one in mirrored:
        written = _written(one, _at(params.get("arguments"), one.path))
        if written is not None:
            headers.append((one.header, encode(written)))
    return headers


def check_method(method: str, headers: Mapping[bytes, bytes]) -> None:
    """Raises MismatchError unless Mcp-Method repeats the method. Header names are in lower case."""
    if headers.get(b"mcp-method", b"").decode("latin-1") != method:
        raise MismatchError("header Mcp-Method does not match the method in the body")


def name_member(method: str, headers: Mapping[bytes, bytes]) -> str | None:
    """The member of params that Mcp-Name has to repeat in this request; None for none."""
    if method in _NAME_OPTIONAL and b"mcp-name" not in headers:
        return None
    return NAMED_BY.get(method)


def check_name(member: str, value: Any, headers: Mapping[bytes, bytes]) -> None:
    """Raises MismatchError unless Mcp-Name repeats the member's value."""
    if value is not None and decode(headers.get(b"mcp-name")) != value:
        raise MismatchError(f"header Mcp-Name does not match params.{member}")


def check_arguments(arguments: Any, headers: Mapping[bytes, bytes], mirrored: Iterable[Mirrored]) -> None:
    """Raises MismatchError unless every argument to be repeated is repeated, and truly."""
    for one in mirrored:
        sent = headers.get(one.header.lower().encode())
        value = _at(arguments, one.path)
        where = f"params.arguments.{'.'.join(one.path)}"
        written = _written(one, value)
        if written is None:
            if sent is not None:
                raise MismatchError(f"header {one.header} does not match {where}")
        elif sent is None:
            raise MismatchError(f"header {one.header} is missing, {where} is not")
        else:
            decoded = decode(sent)
            if decoded is None or not (decoded == written or _same_integer(one, decoded, value)):
                raise MismatchError(f"header {one.header} does not match {where}")


def encode(value: str) -> str:
    """The value as it is when that is safe in a header, else in the base64 sentinel."""
    if _SAFE.fullmatch(value) and not _SENTINEL.fullmatch(value):
        return value
    return f"=?base64?{base64.b64encode(value.encode('utf-8', 'surrogatepass')).decode()}?="


def decode(value: bytes | None) -> str | None:
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


def _written(one: Mirrored, value: Any) -> str | None:
    """A value as it is written into a header; None for what has no such form."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, float) and one.type == "integer" and value.is_integer() and abs(value) < 2**53:
        return str(int(value))  # 1.0 is the integer 1 in JSON Schema, and JavaScript knows no other
    if isinstance(value, (int, float)):
        try:
            return str(value)
        except ValueError:  # more digits than Python writes
            return None
    return None


def _same_integer(one: Mirrored, decoded: str, value: Any) -> bool:
    if one.type != "integer" or isinstance(value, (bool, str)) or value != value // 1:
        return False
    return _DECIMAL.fullmatch(decoded) is not None and int(decoded.partition(".")[0]) == int(value)
