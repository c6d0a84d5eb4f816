"""The servers of a local run, as the doctor speaks of them."""

from __future__ import annotations

import json
import shlex
from typing import Any

from . import own_servers
from .doctor_client import Known
from .health import own_health
from .state import Running, State


def known_servers(state: State, running: Running, silent: str = "it does not answer") -> dict[str, Known]:
    """Each with what it says of itself, or is said of one that says nothing."""
    typed = commands(state)
    found = {}
    for name, service in running.services.items():
        if service.url:
            said = own_health(service.port) or silent
            found[name] = Known(service.url, "" if said == "healthy" else reason(said), typed.get(name, ""))
    return found


def commands(state: State) -> dict[str, str]:
    """What a person would type to run a server of their own."""
    found = {}
    for file in (state.these_servers, state.kept_servers):
        try:
            entries: dict[str, Any] = own_servers.kept(file)
        except own_servers.ServersFileError:
            continue
        for name, entry in entries.items():
            if "command" in entry:
                found[name] = shlex.join((str(entry["command"]), *map(str, entry.get("args", ()))))
    return found


def reason(said: str) -> str:
    """The reason in a health check's answer, which is a sentence or an object with one."""
    try:
        told = json.loads(said)
    except ValueError:
        return said
    return str(told.get("reason", said)) if isinstance(told, dict) else said
