"""A person's own stdio servers for a local run, in the `mcpServers` form that Claude Desktop uses."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")


class ServersFileError(Exception):
    """The file cannot be used; the message is one line that says where and what it must be."""


@dataclass(frozen=True)
class StdioServer:
    name: str
    command: tuple[str, ...]
    environment: dict[str, str]


def read_servers(path: Path, taken: Collection[str]) -> list[StdioServer]:
    """The servers of a file. Raises ServersFileError; `taken` are the names that others have."""
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise ServersFileError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ServersFileError(f"{path} is not JSON: {error}") from None
    entries = content.get("mcpServers") if isinstance(content, dict) else None
    if not isinstance(entries, dict) or not entries:
        raise ServersFileError(f'{path} must hold an object "mcpServers" with at least one server')
    return [read_entry(path, name, entry, taken) for name, entry in entries.items()]


def read_entry(path: Path, name: str, entry: Any, taken: Collection[str]) -> StdioServer:
    where = f"{path}: server {name!r}"
    if not NAME.fullmatch(name) or name in taken:
        raise ServersFileError(f"{where} needs a name of its own, of lower-case letters, digits and hyphens")
    if not isinstance(entry, dict) or not isinstance(entry.get("command"), str):
        raise ServersFileError(f'{where} needs a "command"')
    arguments, environment = entry.get("args", []), entry.get("env", {})
    if not isinstance(arguments, list) or not all(isinstance(part, str) for part in arguments):
        raise ServersFileError(f'{where}: "args" must be a list of strings')
    if not isinstance(environment, dict) or not all(isinstance(part, str) for part in environment.values()):
        raise ServersFileError(f'{where}: "env" must be an object of strings')
    return StdioServer(name, (entry["command"], *arguments), environment)
