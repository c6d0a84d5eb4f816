"""KEY=VALUE words turned into the types that a tool's inputSchema asks for."""

import json
from typing import Any

from ..errors import ClientError


def from_json(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ClientError(f"--json is not JSON: {error}.") from None
    if not isinstance(value, dict):
        raise ClientError('--json must be an object, e.g. \'{"city": "Berlin"}\'.')
    return value


def from_words(words: tuple[str, ...], schema: dict[str, Any]) -> dict[str, Any]:
    """Raises ClientError for words without "=", unknown or missing keys and unreadable values.

    A key given several times makes a list.
    """
    properties = schema.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    values: dict[str, Any] = {}
    for word in words:
        key, separator, text = word.partition("=")
        if not separator or not key:
            raise ClientError(f"{word!r} is not of the form KEY=VALUE.")
        if key not in properties and schema.get("additionalProperties") is False:
            known = ", ".join(properties) or "no arguments"
            raise ClientError(f"The tool has no argument {key!r}; it takes {known}.")
        member = properties.get(key)
        member = member if isinstance(member, dict) else {}
        items = member.get("items")
        if "array" in _types(member) and not text.lstrip().startswith("["):
            item = _read(key, text, items if isinstance(items, dict) else {})
            values.setdefault(key, []).append(item)
        elif key in values:
            raise ClientError(f"{key} is given twice.")
        else:
            values[key] = _read(key, text, member)
    required = schema.get("required")
    missing = [key for key in required if key not in values] if isinstance(required, list) else []
    if missing:
        raise ClientError(f"The tool needs {', '.join(map(str, missing))}.")
    return values


def _types(schema: dict[str, Any]) -> list[str]:
    """The types a schema allows, in its order; empty when it does not say."""
    kind = schema.get("type")
    if isinstance(kind, str):
        return [kind]
    if isinstance(kind, list):
        return [item for item in kind if isinstance(item, str)]
    found: list[str] = []
    for word in ("anyOf", "oneOf"):
        options = schema.get(word)
        for option in options if isinstance(options, list) else ():
            if isinstance(option, dict):
                found += _types(option)
    return found


def _read(key: str, text: str, schema: dict[str, Any]) -> Any:
    types = _types(schema)
    if types == ["string"]:
        return text
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    if not types or any(_is(value, kind) for kind in types):
        return value
    if "string" in types:
        return text
    raise ClientError(f"{key} must be of type {' or '.join(types)}, not {text!r}.")


def _is(value: Any, kind: str) -> bool:
    if kind == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == "number":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    expected = {"string": str, "boolean": bool, "array": list, "object": dict, "null": type(None)}
    return isinstance(value, expected.get(kind, ()))
