"""The words of a command turned into the arguments that a JSON Schema asks for."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

from ..errors import ClientError
from ..settings import read_text

_CHOICES = ("anyOf", "oneOf", "allOf")
_TYPES = ("string", "integer", "number", "boolean", "object", "array", "null")
_LONGEST_WAY = 20
"""So many `$ref` are followed, one to the next."""


def from_words(words: tuple[str, ...], schema: dict[str, Any]) -> dict[str, Any]:
    """Raises ClientError for what cannot be read.

    `key=value` is read as the type the schema gives the key, and one given several times makes a
    list; `key:=json` is JSON whatever the schema says; `key=@file` takes a file's text. `{…}`,
    `@file` and `-` (standard input) give many arguments at once, as one JSON object.
    """
    properties = resolved(schema, schema).get("properties")
    properties = properties if isinstance(properties, dict) else {}
    values: dict[str, Any] = {}
    for word in words:
        if word == "-" or word[:1] in ("@", "{"):
            values |= _object(word)
            continue
        key, separator, text = word.partition("=")
        if not separator or not key.removesuffix(":"):
            raise ClientError(f"{word!r} is not of the form KEY=VALUE, KEY:=JSON, @FILE or -.")
        as_json, key = key.endswith(":"), key.removesuffix(":")
        _check_text(word)
        if text.startswith("@"):
            text = read_text(Path(text[1:]))
        member = resolved(properties.get(key), schema)
        if as_json:
            values[key] = _json(text, key)
        elif "array" in types_of(member) and not text.lstrip().startswith("["):
            item = read_value(key, text, _items(member, schema))
            values.setdefault(key, []).append(item)
        elif key in values:
            raise ClientError(f"{key} is given twice.")
        else:
            values[key] = read_value(key, text, member)
    return values


def refusal(values: dict[str, Any], schema: dict[str, Any]) -> str | None:
    """What JSON Schema has against the arguments, by name and in one sentence; None if nothing."""
    from jsonschema import Draft202012Validator, SchemaError
    from jsonschema.exceptions import best_match
    from jsonschema.validators import validator_for
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    kind = validator_for(schema, default=Draft202012Validator)
    try:
        kind.check_schema(schema)
        # an empty registry: a schema of the server's makes this program fetch nothing
        fault = best_match(kind(schema, registry=Registry()).iter_errors(values))
    except SchemaError as problem:
        return f"The tool's own schema is wrong ({problem.message}); --unchecked sends the call anyway."
    except Unresolvable as problem:
        return f"The tool's own schema points at nothing ({problem}); --unchecked sends the call anyway."
    if fault is None:
        return None
    if not fault.absolute_path and fault.validator == "required":
        missing = [key for key in fault.validator_value if key not in values]
        return f"The tool needs {', '.join(map(str, missing))}."
    if not fault.absolute_path and fault.validator == "additionalProperties":
        known = schema.get("properties") or {}
        unknown = ", ".join(repr(key) for key in values if key not in known)
        return f"The tool has no argument {unknown}; it takes {', '.join(known) or 'none'}."
    where = ".".join(str(part) for part in fault.absolute_path)
    return f"{where}: {fault.message}." if where else f"{fault.message}."


def resolved(member: Any, root: dict[str, Any]) -> dict[str, Any]:
    """A schema with its `$ref` into `root` followed, and those of the choices it leaves; {} for what is
    none, or points in a circle."""
    found = _pointed_at(member, root)
    choices = {word: found[word] for word in _CHOICES if isinstance(found.get(word), list)}
    return found | {
        word: [_pointed_at(option, root) for option in options] for word, options in choices.items()
    }


def types_of(schema: dict[str, Any]) -> list[str]:
    """The types a schema allows, in its order; empty when it does not say."""
    kind = schema.get("type")
    if isinstance(kind, str):
        return [kind]
    if isinstance(kind, list):
        return [item for item in kind if isinstance(item, str)]
    named = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if isinstance(named, list):
        return list(dict.fromkeys(name for value in named for name in _TYPES if _is(value, name)))
    found: list[str] = []
    for word in _CHOICES:
        options = schema.get(word)
        for option in options if isinstance(options, list) else ():
            if isinstance(option, dict):
                found += [kind for kind in types_of(option) if kind not in found]
    return found


def read_value(key: str, text: str, schema: dict[str, Any]) -> Any:
    """Text as the type a schema asks for."""
    types = types_of(schema)
    if types == ["string"]:
        return text
    try:
        value = json.loads(text, parse_constant=_no_number, parse_float=_finite)
    except (ValueError, RecursionError):
        value = text
    if not types or any(_is(value, kind) for kind in types):
        return value
    if "string" in types:
        return text
    raise ClientError(f"{key} must be of type {' or '.join(types)}, not {text!r}.")


def _object(word: str) -> dict[str, Any]:
    if word == "-":
        try:
            text, where = sys.stdin.read(), "standard input"
        except UnicodeDecodeError as error:
            raise ClientError("Standard input is not UTF-8 text.") from error
    elif word.startswith("@"):
        text, where = read_text(Path(word[1:])), word[1:]
    else:
        text, where = word, word
    value = _json(text, where)
    if not isinstance(value, dict):
        raise ClientError(f'{where} must be a JSON object, e.g. {{"city": "Berlin"}}.')
    return value


def _json(text: str, where: str) -> Any:
    try:
        value = json.loads(text, parse_constant=_no_number, parse_float=_finite)
    except (ValueError, RecursionError) as problem:
        raise ClientError(f"{where} is not JSON: {problem}.") from problem
    _check_text(json.dumps(value, ensure_ascii=False))
    return value


def _no_number(name: str) -> Any:
    """NaN and Infinity, which Python reads and JSON does not have."""
    raise ValueError(f"{name} is no number in JSON")


def _finite(text: str) -> float:
    return value if math.isfinite(value := float(text)) else _no_number(text)


def _check_text(text: str) -> None:
    """Raises ClientError for half a character, which no JSON text in UTF-8 can hold."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ClientError("An argument is not UTF-8 text.") from error


def _pointed_at(member: Any, root: dict[str, Any]) -> dict[str, Any]:
    for _ in range(_LONGEST_WAY):
        if not isinstance(member, dict):
            return {}
        target = member.get("$ref")
        if not isinstance(target, str):
            return member
        member = root
        for step in target.removeprefix("#").split("/")[1:] if target.startswith("#") else ("",):
            step = step.replace("~1", "/").replace("~0", "~")
            member = member.get(step) if isinstance(member, dict) else None
    return {}


def _items(member: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    """What the items of an array must be, also of one among several choices."""
    options = [option for word in _CHOICES for option in member.get(word) or ()]
    for option in (member, *options):
        if isinstance(option, dict) and "items" in option:
            return resolved(option["items"], root)
    return {}


def _is(value: Any, kind: str) -> bool:
    if kind == "integer":
        whole = isinstance(value, float) and value.is_integer()
        return (isinstance(value, int) and not isinstance(value, bool)) or whole
    if kind == "number":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    expected = {"string": str, "boolean": bool, "array": list, "object": dict, "null": type(None)}
    return isinstance(value, expected.get(kind, ()))
