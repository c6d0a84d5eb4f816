"""The JSON schema of the file, for editors: made from `settings.Server`, so that it knows every option."""

from __future__ import annotations

import dataclasses
from typing import Any, get_args

from ..settings import Isolation, Server
from .entry import FLAGS, OPTIONS, TEXTS, URLS

_TEXT = {"type": ["string", "number", "boolean"]}

_NAMES = {"type": "array", "items": {"type": "string"}}
_TOOLS = {
    "allow": _NAMES,
    "deny": _NAMES,
    "rename": {"type": "object", "additionalProperties": {"type": "string"}},
    "prefix": {"type": "string"},
}


def schema() -> dict[str, Any]:
    """Other keys are allowed, as other programs read the same file."""
    defaults = {field.name: field.default for field in dataclasses.fields(Server)}
    options: dict[str, Any] = {}
    for key, name in OPTIONS.items():
        kind = "string" if name in TEXTS else "boolean" if name in FLAGS else "number"
        options[key] = {"type": kind}
        if defaults[name] is not None:
            options[key]["default"] = defaults[name]
    options["isolation"]["enum"] = list(get_args(Isolation))
    properties = {
        "command": {"type": "string", "minLength": 1},
        **{key: {"type": "string", "minLength": 1} for key in URLS},
        "headers": {"type": "object", "additionalProperties": _TEXT},
        "args": {"type": "array", "items": _TEXT},
        "env": {"type": "object", "additionalProperties": {"type": [*_TEXT["type"], "null"]}},
        "envFile": {"type": "string"},
        "disabled": {"type": "boolean"},
        "tools": {"anyOf": [_NAMES, {"type": "object", "properties": _TOOLS, "additionalProperties": False}]},
        "combined": {"anyOf": [{"type": "boolean"}, {"type": "string", "pattern": "^[A-Za-z0-9_.-]{0,64}$"}]},
        **options,
    }
    one_of = [{"required": [key]} for key in ("command", *URLS)]
    servers = {"type": "object", "minProperties": 1, "additionalProperties": {"$ref": "#/$defs/server"}}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Servers for mcp-streamablehttp-proxy",
        "type": "object",
        "properties": {"mcpServers": servers, "servers": servers},
        "anyOf": [{"required": ["mcpServers"]}, {"required": ["servers"]}],
        "$defs": {"server": {"type": "object", "anyOf": one_of, "properties": properties}},
    }
