"""What ties a request to one replica, where it names no session that does."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from ._common.replicas import speaks_modern
from .endpoint import Endpoint
from .security import Guard
from .wire.http import RefusedError, read_headers


def replica_key(scope: MutableMapping[str, Any], guard: Guard, by_key: bool) -> str | None:
    """The server and the user, wherever the user has a process; None where any replica will do.

    A user of 2026-07-28 has one where processes are not shared by all, and sessions of a user share one with
    isolation "user". With API keys (`by_key`) the key stands for its user, whom only the owner looks up.
    """
    endpoint: Endpoint | None = scope.get("mcp_endpoint")
    if endpoint is None:
        return None
    server, modern = endpoint.server, speaks_modern(scope)
    if server.isolation == "shared" or (modern and server.stateless):
        return None
    if not modern and server.isolation != "user":
        return None
    try:
        headers = read_headers(scope)
    except RefusedError:
        return None  # as it will be here
    principal = guard.principal(headers)
    if by_key:
        shown = headers.get(b"authorization", headers.get(b"x-api-key", b""))
        principal = shown.decode("latin-1")
    return f"{server.name} {principal}" if principal else None
