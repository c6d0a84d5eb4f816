"""A file of servers, read whole: what can be served, and why the rest cannot."""

from __future__ import annotations

import difflib
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .._common.settings import SettingsError
from ..settings import Server, Settings, contradiction
from .document import entries
from .entry import OPTIONS, ignored, is_off, server
from .names import address_name
from .variables import Variables

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Configuration:
    """The enabled servers of a file."""

    servers: tuple[Server, ...]
    broken: Mapping[str, str] = field(default_factory=dict)
    """Reason by name, for entries that cannot be served."""
    notes: tuple[str, ...] = ()
    """What the person should know, a sentence each."""

    def only(self, name: str, file: Path) -> Configuration:
        """One server of the file, as if it were given as a command. Raises SettingsError if there is none."""
        servers = tuple(replace(server, alone=True) for server in self.servers if server.name == name)
        broken = {name: self.broken[name]} if name in self.broken else {}
        if not servers and not broken:
            raise SettingsError(f"{file}: no server is called {name}")
        return Configuration(servers, broken)

    def report(self) -> None:
        """Into the log."""
        for note in self.notes:
            log.warning(note)
        for name, reason in self.broken.items():
            log.error("server not started", extra={"server": name, "reason": reason})


def read_servers(
    file: Path,
    defaults: Mapping[str, Any],
    settings: Settings | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Configuration:
    """The servers of a file; `defaults` are Server fields for what an entry leaves out.

    Raises SettingsError if the file holds no server that can be started, naming the file, the server and
    what it must be.
    """
    variables = Variables(environment, file.absolute().parent)
    named = {name: entry for name, entry in entries(file).items() if not is_off(entry)}
    names: dict[str, str] = {}
    for name in sorted(named, key=lambda name: address_name(name, ()) != name):  # who fits keeps its name
        names[name] = address_name(name, names.values())
    servers, broken, unread, notes = [], {}, dict[str, list[str]](), []
    for name, entry in named.items():
        known = names[name]
        if known != name:
            notes.append(f"{file}: server {name!r} is served as {known}")
        if isinstance(entry, dict):
            for key in ignored(entry):
                unread.setdefault(key, []).append(known)
        try:
            made = server(known, entry, defaults, variables)
            wrong = contradiction(settings, made) if settings is not None else None
            if wrong is not None:
                raise SettingsError(wrong)  # noqa: TRY301
            servers.append(made)
        except SettingsError as problem:
            broken[known] = str(problem).removeprefix(f"server {known}: ")
    if broken and not servers:
        reasons = "; ".join(f"server {name}: {reason}" for name, reason in broken.items())
        raise SettingsError(f"{file}: {reasons}")
    if unread:
        notes.insert(0, f"{file}: ignored " + ", ".join(map(_described, unread, unread.values())))
    return Configuration(tuple(servers), broken, tuple(notes))


def _described(key: str, servers: list[str]) -> str:
    like = difflib.get_close_matches(key, OPTIONS, 1, 0.8)
    meant = f", did you mean {like[0]}?" if like else ""
    return f"{key} ({', '.join(servers)}{meant})"
