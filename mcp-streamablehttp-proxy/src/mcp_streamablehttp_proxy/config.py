"""Servers from a file in the `mcpServers` form that Claude Desktop uses.

Beside `command`, `args`, `env` and `cwd`, an entry may carry this proxy's own options under
the names of `settings.Server`, in camel case: `isolation`, `maxChildren`, `idleTimeout`, ...
"""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any, Final

from .settings import Server, SettingsError

_OWN: Final = ("name", "command", "env")
_OPTIONS: Final = {
    re.sub(r"_(\w)", lambda found: found[1].upper(), field.name): field.name
    for field in dataclasses.fields(Server)
    if field.name not in _OWN
}
_TEXT: Final = frozenset({"isolation", "cwd"})
_FLAGS: Final = frozenset({"log_bodies"})


def read_servers(file: Path, defaults: dict[str, Any]) -> tuple[Server, ...]:
    """The enabled servers of a file; `defaults` are Server fields for what an entry leaves out.

    Raises SettingsError naming the file, the server and what it must be.
    """
    try:
        document = json.loads(file.read_text())
    except OSError as problem:
        raise SettingsError(f"{file}: {problem.strerror}") from None
    except ValueError as problem:
        raise SettingsError(f"{file}: not valid JSON: {problem}") from None
    entries = document.get("mcpServers") if isinstance(document, dict) else None
    if not isinstance(entries, dict) or not entries:
        raise SettingsError(f"{file}: needs an object mcpServers with at least one server")
    try:
        return tuple(
            _server(name, entry, defaults)
            for name, entry in entries.items()
            if not (isinstance(entry, dict) and entry.get("disabled"))
        )
    except SettingsError as problem:
        raise SettingsError(f"{file}: {problem}") from None


def _server(name: str, entry: object, defaults: dict[str, Any]) -> Server:
    def wrong(what: str) -> SettingsError:
        return SettingsError(f"server {name}: {what}")

    if not isinstance(entry, dict):
        raise wrong("must be an object")
    command, args, env = entry.get("command"), entry.get("args", []), entry.get("env", {})
    if not isinstance(command, str) or not command:
        raise wrong("command must be a text (only stdio servers can be served)")
    if not isinstance(args, list) or not all(isinstance(arg, str) for arg in args):
        raise wrong("args must be a list of texts")
    if not isinstance(env, dict) or not all(isinstance(value, str) for value in env.values()):
        raise wrong("env must be an object of texts")
    options = dict(defaults)
    for key, value in entry.items():
        field = _OPTIONS.get(key)
        if field is None:
            if key in ("command", "args", "env", "disabled", "type", "description"):
                continue
            raise wrong(f"unknown option {key}; known are {', '.join(sorted(_OPTIONS))}")
        if field in _TEXT:
            good = isinstance(value, str)
        elif field in _FLAGS:
            good = isinstance(value, bool)
        else:
            good = isinstance(value, int | float) and not isinstance(value, bool)
        if not good:
            raise wrong(f"{key} must be a {'text' if field in _TEXT else 'number'}")
        options[field] = value
    environment = {**options.pop("env", {}), **env}
    return Server(name=name, command=(command, *args), env=environment, **options)
