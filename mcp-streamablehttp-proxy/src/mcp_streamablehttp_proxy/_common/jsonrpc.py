"""JSON-RPC 2.0 messages as raw JSON: read just enough to route, change only what must change.

A message is split into its top-level members, each kept as the bytes it came in. Numbers of
any size, unknown members, member order and escapes survive, because nothing is re-modelled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import Enum
from itertools import accumulate
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Raw, UnsetType

from .error_codes import INVALID_REQUEST, PARSE_ERROR

Members = dict[str, Raw]
"""Top-level members of one JSON object, each value as raw JSON."""

_members = msgspec.json.Decoder(Members)
_items = msgspec.json.Decoder(list[Raw])
_encode = msgspec.json.encode
_KEYS = {
    name: b',"%s":' % name.encode()
    for name in ("jsonrpc", "id", "method", "params", "result", "error", "_meta")
}
_ID_START = frozenset(b'"-0123456789')
_ID_STARTS = frozenset((b"", *(bytes((byte,)) for byte in _ID_START)))
_NOTHING = Raw()
_DEEPEST = 256
"""Levels of nesting that a message may have: far from Python's own limit, which counts from wherever the
message is looked at, so that what could be read once could not be later."""
_NO_MARKS = bytes(set(range(256)) - set(b'[]{}"'))
_STEPS = bytes.maketrans(b"[{]}", b"\2\2\0\0")
_LF = 10
_CR = 13


class MessageError(ValueError):
    """What came is not a JSON-RPC message; `code` is the JSON-RPC error code that says so."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Kind(Enum):
    REQUEST = "request"
    NOTIFICATION = "notification"
    RESPONSE = "response"


class Message:
    """One JSON-RPC message. `raw` is one line without line ends; `id` is the id as raw JSON."""

    __slots__ = ("_members", "_params", "id", "kind", "method", "raw")

    def __init__(
        self, raw: bytes, kind: Kind, id_: bytes | None, method: str, members: Members | None = None
    ) -> None:
        self.raw = raw
        self.kind = kind
        self.id = id_
        self.method = method
        self._members = members
        self._params: Members | None = None

    @classmethod
    def request(cls, method: str, params: object = None, id_: bytes = b"0") -> Message:
        """A request; whoever sends it on gives it an id of its own."""
        return cls(_written(method, params, id_), Kind.REQUEST, id_, method)

    @classmethod
    def notification(cls, method: str, params: object = None) -> Message:
        return cls(_written(method, params, None), Kind.NOTIFICATION, None, method)

    @classmethod
    def cancellation(cls, id_: bytes, reason: str) -> Message:
        """`notifications/cancelled` for a request of this id."""
        return cls.notification("notifications/cancelled", {"requestId": Raw(id_), "reason": reason})

    def answered(self, value: Raw | bytes) -> Message:
        """The response to this request, with a result."""
        return Message(result(self.id or b"null", value), Kind.RESPONSE, self.id, "")

    def refused(self, code: int, reason: str, data: object = None) -> Message:
        """The response to this request, with an error."""
        return Message(error(self.id, code, reason, data), Kind.RESPONSE, self.id, "")

    @property
    def members(self) -> Members:
        """Its top-level members, in order."""
        if self._members is None:
            self._members = split(self.raw)
        return self._members

    @property
    def params(self) -> Members:
        """Members of `params`; empty when there are none or they are not an object."""
        if self._params is None:
            self._params = object_members(self.members.get("params"))
        return self._params

    @property
    def meta(self) -> Members:
        """Members of `params._meta`."""
        return object_members(self.params.get("_meta"))

    @property
    def result(self) -> Raw | None:
        return self.members.get("result")

    @property
    def error(self) -> Raw | None:
        return self.members.get("error")

    def with_id(self, id_: bytes) -> bytes:
        """The same message under this id."""
        if id_ == self.id:
            return self.raw
        return dump({**self.members, "id": id_})

    def with_params(self, params: Mapping[str, Raw | bytes]) -> Message:
        """The same message with other params."""
        return self.with_members(params=Raw(dump(params)))

    def with_members(self, **changed: Raw) -> Message:
        """The same message with some of its top-level members other than the id replaced."""
        members = {**self.members, **changed}
        return Message(dump(members), self.kind, self.id, self.method, members)


class _Outline(msgspec.Struct, gc=False):
    """What routing must know of a message; the rest is only checked to be JSON."""

    jsonrpc: Literal["2.0"]
    id: Raw = _NOTHING
    method: str | UnsetType = UNSET
    result: Raw = _NOTHING
    error: Raw = _NOTHING


_outline = msgspec.json.Decoder(_Outline)


def parse(data: bytes) -> Message:
    """Read one message. Raises MessageError: -32700 for what is no JSON, else -32600."""
    data = one_line(data)
    if _is_deep(data):
        raise MessageError(PARSE_ERROR, "JSON is nested too deeply")
    try:
        if not data.isascii():
            data.decode()
        outline = _outline.decode(data)
    except (ValueError, RecursionError):  # msgspec's errors and UnicodeDecodeError are ValueErrors
        return _parse_exactly(data)
    id_ = bytes(outline.id)
    if id_[:1] not in _ID_STARTS:
        return _parse_exactly(data)
    method = outline.method
    if method is not UNSET:
        return (
            Message(data, Kind.REQUEST, id_, method)
            if id_
            else Message(data, Kind.NOTIFICATION, None, method)
        )
    if id_ and (outline.result is _NOTHING) != (outline.error is _NOTHING):
        return Message(data, Kind.RESPONSE, id_, "")
    return _parse_exactly(data)


def _is_deep(data: bytes) -> bool:
    """Whether more brackets than that are open at once, not counting those in strings."""
    if data.count(b"[") + data.count(b"{") <= _DEEPEST:
        return False
    # Every message with many brackets passes here, so that the bytes are gone through by their own methods.
    unescaped = data.replace(rb"\\", b"").replace(rb"\"", b"") if b"\\" in data else data
    # Of two strings beside each other this makes one, which is as good: nothing stands between them.
    marks = unescaped.translate(_STEPS, _NO_MARKS).replace(b'""', b"")
    brackets = b"".join(marks.split(b'"')[::2])
    return max(accumulate(map((-1).__add__, brackets)), default=0) > _DEEPEST


def _parse_exactly(data: bytes) -> Message:
    """The slow way, which says what is wrong and knows what is rare."""
    try:
        members = split(data)
    except msgspec.ValidationError as problem:
        raise MessageError(INVALID_REQUEST, "a JSON-RPC message is a JSON object") from problem
    if members.get("jsonrpc", _NOTHING) != _VERSION:
        raise MessageError(INVALID_REQUEST, 'member "jsonrpc" must be "2.0"')
    raw_id = members.get("id")
    id_ = None if raw_id is None else bytes(raw_id)
    raw_method = members.get("method")
    if raw_method is not None:
        method = decode(raw_method)
        if not isinstance(method, str):
            raise MessageError(INVALID_REQUEST, 'member "method" must be a string')
        if id_ is None:
            return Message(data, Kind.NOTIFICATION, None, method, members)
        if id_[0] not in _ID_START:
            raise MessageError(INVALID_REQUEST, 'member "id" must be a string or a number')
        return Message(data, Kind.REQUEST, id_, method, members)
    if ("result" in members) == ("error" in members):
        raise MessageError(INVALID_REQUEST, 'a message has "method", or exactly one of "result" and "error"')
    if id_ is None or id_ == b"null":
        if "error" not in members:
            raise MessageError(INVALID_REQUEST, "a result needs the id of its request")
        return Message(data, Kind.RESPONSE, None, "", members)
    if id_[0] not in _ID_START:
        raise MessageError(INVALID_REQUEST, 'member "id" must be a string or a number')
    return Message(data, Kind.RESPONSE, id_, "", members)


_VERSION = Raw(b'"2.0"')


def split_batch(data: bytes) -> list[bytes]:
    """The elements of a JSON array, each as raw JSON. Raises MessageError."""
    try:
        items = _items.decode(one_line(data))
    except (msgspec.DecodeError, RecursionError) as problem:
        raise MessageError(PARSE_ERROR, f"not valid JSON: {problem}") from problem
    if not items:
        raise MessageError(INVALID_REQUEST, "a batch must not be empty")
    return [bytes(item) for item in items]


def split(data: bytes) -> Members:
    """Top-level members of a JSON object. Raises msgspec.ValidationError if it is another type."""
    try:
        if not data.isascii():
            data.decode()
        return _members.decode(data)
    except msgspec.ValidationError:
        raise
    except RecursionError as problem:
        raise MessageError(PARSE_ERROR, "JSON is nested too deeply") from problem
    except UnicodeDecodeError as problem:
        raise MessageError(PARSE_ERROR, "not valid UTF-8") from problem
    except msgspec.DecodeError as problem:
        if b"\\ud" in data or b"\\uD" in data:
            return _split_with_surrogates(data)
        raise MessageError(PARSE_ERROR, f"not valid JSON: {problem}") from problem


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_python_value = json.JSONDecoder(parse_constant=_refuse_constant)


def _split_with_surrogates(data: bytes) -> Members:
    """The slow way, for text with escaped lone surrogates, which JSON's grammar allows."""
    text = data.decode()
    members: Members = {}
    try:
        _python_value.decode(text)
        if not text.lstrip().startswith("{"):
            raise msgspec.ValidationError("Expected `object`")  # noqa: TRY301 - as msgspec does
        at = _skip(text, _skip(text, 0) + 1)
        while text[at] != "}":
            key, at = _python_value.raw_decode(text, at)
            start = _skip(text, _skip(text, at) + 1)
            _, end = _python_value.raw_decode(text, start)
            members[key] = Raw(text[start:end].encode())
            at = _skip(text, end)
            if text[at] == ",":
                at = _skip(text, at + 1)
    except msgspec.ValidationError:
        raise
    except (ValueError, RecursionError) as problem:
        raise MessageError(PARSE_ERROR, f"not valid JSON: {problem}") from problem
    return members


def _skip(text: str, at: int) -> int:
    while text[at] in " \t\r\n":
        at += 1
    return at


def one_line(data: bytes) -> bytes:
    """The same JSON without raw line ends, so that it fits a stdio line or an SSE data field."""
    if _LF in data or _CR in data:
        try:
            # Inside a string a raw line end is no JSON; elsewhere it is white space.
            _python_value.decode(data.decode())
        except (ValueError, RecursionError) as problem:
            raise MessageError(PARSE_ERROR, f"not valid JSON: {problem}") from problem
        return data.replace(b"\r", b" ").replace(b"\n", b" ").strip(b" ")
    return data


def object_members(value: Raw | bytes | None) -> Members:
    """Members of a raw JSON value that should be an object; empty for anything else."""
    if value is None or bytes(value[:1] if isinstance(value, bytes) else value)[:1] != b"{":
        return {}
    try:
        return _members.decode(value)
    except msgspec.DecodeError:
        return _split_with_surrogates(bytes(value))


def decode(value: Raw | bytes) -> Any:
    """A raw JSON value as Python objects: for looking at it, never for passing it on.

    Raises MessageError for a whole number of more digits than Python reads.
    """
    try:
        return msgspec.json.decode(value)
    except msgspec.DecodeError:
        try:
            return json.loads(bytes(value))
        except ValueError as problem:
            raise MessageError(INVALID_REQUEST, f"a value cannot be read: {problem}") from problem


def text(value: Raw | bytes | None) -> str | None:
    """A raw JSON value as text; None for any other kind of value, which is not read."""
    if value is None or bytes(value)[:1] != b'"':
        return None
    found: str = decode(value)
    return found


def encode(value: object) -> bytes:
    """Python objects (Raw members included) as one line of JSON."""
    return _encode(value)


def dump(members: Mapping[str, Raw | bytes]) -> bytes:
    """An object from raw members, in order."""
    parts: list[bytes | Raw] = [b"{"]
    for key, value in members.items():
        parts.append(_KEYS.get(key) or _key(key))
        parts.append(value)
    if len(parts) > 1:
        parts[1] = bytes(parts[1])[1:]  # without the comma
    parts.append(b"}")
    return b"".join(parts)


def _key(name: str) -> bytes:
    try:
        return b",%b:" % _encode(name)
    except UnicodeEncodeError:
        return b",%b:" % json.dumps(name).encode()


def _written(method: str, params: object, id_: bytes | None) -> bytes:
    body: dict[str, object] = {"jsonrpc": "2.0"}
    if id_ is not None:
        body["id"] = Raw(id_)
    body["method"] = method
    if params is not None:
        body["params"] = params
    return _encode(body)


def result(id_: bytes, value: Raw | bytes) -> bytes:
    return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (id_, bytes(value))


def error(id_: bytes | None, code: int, message: str, data: object = None) -> bytes:
    """An error response; without an id it is the id-less form that HTTP errors carry."""
    body: dict[str, object] = {"code": code, "message": message}
    if data is not None:
        body["data"] = data
    return b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (id_ or b"null", _encode(body))
