"""One entry of the file: a server, the limits it runs under, and what editors add."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from io import StringIO
from typing import Any

from dotenv import dotenv_values

from .._common.settings import SettingsError
from ..settings import RemoteServer, Server, Tools, Transport
from .variables import Variables

_OWN = ("name", "command", "env", "alone", "tools", "combined", "combined_prefix")
OPTIONS = {
    re.sub(r"_(\w)", lambda found: found[1].upper(), field.name): field.name
    for field in dataclasses.fields(Server)
    if field.name not in _OWN
}
"""The proxy's own options, under the names of `settings.Server` in camel case."""
TEXTS = frozenset({"isolation", "cwd"})
FLAGS = frozenset({"log_bodies", "stateless"})

URLS = ("url", "serverUrl", "httpUrl")
"""What clients call the address of a remote server."""
_TRANSPORTS: Mapping[object, Transport] = {
    "http": "http",
    "streamable-http": "http",
    "streamableHttp": "http",
    "sse": "sse",
}
"""By the `type` of an entry; without one it is found out."""
_OF_PROCESSES = ("cwd", "memory", "cpu")

_READ = frozenset(
    {"command", "args", "env", "envFile", "disabled", "enabled", "type", "description", "tools", "combined"}
) | frozenset({*URLS, "headers"})
_PREFIX = re.compile(r"[A-Za-z0-9_.-]{0,64}")


def is_off(entry: object) -> bool:
    return isinstance(entry, dict) and (entry.get("disabled") is True or entry.get("enabled") is False)


def ignored(entry: Mapping[str, object]) -> list[str]:
    """The keys of an entry that mean nothing here."""
    return [key for key in entry if key not in OPTIONS and key not in _READ]


def server(name: str, entry: object, defaults: Mapping[str, Any], variables: Variables) -> Server:
    """The server of an entry; `defaults` are Server fields for what it leaves out. Raises SettingsError."""
    if not isinstance(entry, dict):
        raise SettingsError("must be an object")
    options = {**defaults, **_options(entry)}
    if isinstance(options.get("cwd"), str) and "cwd" in entry:
        options["cwd"] = str(variables.path(options["cwd"]))
    if "tools" in entry:
        options["tools"] = _tools(entry["tools"])
    if "combined" in entry:
        options.update(_combined(entry["combined"]))
    urls = [key for key in URLS if key in entry]
    if urls and "command" not in entry:
        return _remote(name, urls[0], entry, options, variables)
    command, args = entry.get("command"), entry.get("args", [])
    if not isinstance(command, str) or not command:
        raise SettingsError("command must be a text, or url the address of a remote server")
    if not isinstance(args, list):
        raise SettingsError("args must be a list of texts")
    words = [command, *(_text("args must be a list of texts", arg) for arg in args)]
    environment = {**options.pop("env", {}), **_file(entry, variables), **_environment(entry, variables)}
    return Server(name=name, command=tuple(map(variables.fill, words)), env=environment, **options)


def _remote(
    name: str, key: str, entry: Mapping[str, object], options: dict[str, Any], variables: Variables
) -> RemoteServer:
    url, headers = entry[key], entry.get("headers", {})
    if useless := [option for option in _OF_PROCESSES if option in entry]:
        raise SettingsError(f"{useless[0]} is of a process; a remote server has none")
    if not isinstance(url, str):
        raise SettingsError(f"{key} must be a text")
    if not isinstance(headers, dict):
        raise SettingsError("headers must be an object of texts")
    filled = {
        header: variables.fill(_text("headers must be an object of texts", value))
        for header, value in headers.items()
    }
    kept = {key: value for key, value in options.items() if key not in ("env", *_OF_PROCESSES)}
    transport = _TRANSPORTS.get(entry.get("type"))
    return RemoteServer(
        name=name, url=variables.fill(url).strip(), headers=filled, transport=transport, **kept
    )


def _options(entry: Mapping[str, object]) -> dict[str, object]:
    options: dict[str, object] = {}
    for key, value in entry.items():
        field = OPTIONS.get(key)
        if field is None:
            continue
        if field in TEXTS:
            good, kind = isinstance(value, str), "text"
        elif field in FLAGS:
            good, kind = isinstance(value, bool), "true or false"
        else:
            good, kind = isinstance(value, int | float) and not isinstance(value, bool), "number"
        if not good:
            raise SettingsError(f"{key} must be {kind if field in FLAGS else f'a {kind}'}")
        options[field] = value
    return options


def _tools(value: object) -> Tools:
    """A list is what is allowed."""
    choice = {"allow": value} if isinstance(value, list) else value
    if not isinstance(choice, dict) or not choice.keys() <= {"allow", "deny", "rename", "prefix"}:
        raise SettingsError("tools must be an object with allow, deny, rename, prefix, or a list of names")
    allow, deny, rename = choice.get("allow", ["*"]), choice.get("deny", []), choice.get("rename", {})
    if not isinstance(rename, dict) or not isinstance(prefix := choice.get("prefix", ""), str):
        raise SettingsError("tools: rename must be an object of texts, prefix a text")
    if not all(isinstance(names, list) for names in (allow, deny)) or not all(
        isinstance(name, str) for name in (*allow, *deny, *rename.values())
    ):
        raise SettingsError("tools: allow and deny must be lists of texts, rename an object of texts")
    return Tools(allow=tuple(allow), deny=tuple(deny), rename=rename, prefix=prefix)


def _combined(value: object) -> dict[str, object]:
    """False leaves a server out; a text is what its names begin with."""
    if isinstance(value, bool):
        return {"combined": value}
    if isinstance(value, str) and _PREFIX.fullmatch(value):
        return {"combined_prefix": value}
    raise SettingsError("combined must be true, false, or a prefix of letters, digits, '_', '-' and '.'")


def _environment(entry: Mapping[str, object], variables: Variables) -> dict[str, str]:
    env = entry.get("env", {})
    if not isinstance(env, dict):
        raise SettingsError("env must be an object of texts")
    return {
        key: variables.fill(_text("env must be an object of texts", value))
        for key, value in env.items()
        if value is not None
    }


def _file(entry: Mapping[str, object], variables: Variables) -> dict[str, str]:
    """The variables of the entry's envFile, as they are written there."""
    named = entry.get("envFile")
    if named is None:
        return {}
    if not isinstance(named, str):
        raise SettingsError("envFile must be a text")
    path = variables.path(named)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as problem:
        why = problem.strerror if isinstance(problem, OSError) else "is not UTF-8 text"
        raise SettingsError(f"envFile {path} cannot be read: {why}") from problem
    values = dotenv_values(stream=StringIO(text), interpolate=False)
    return {key: value for key, value in values.items() if value is not None}


def _text(what: str, value: object) -> str:
    """A text; numbers and flags are what a person may write for one."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    if not isinstance(value, str):
        raise SettingsError(what)
    return value
