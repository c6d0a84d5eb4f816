"""What a scope is: the words that mean something here, and what is granted of those that are asked for."""

from __future__ import annotations

from .errors import InvalidScopeError

MCP = "mcp"
"""Use a server; without it a token opens nothing, so every grant has it."""
OFFLINE_ACCESS = "offline_access"
SUPPORTED = (MCP, OFFLINE_ACCESS)


def granted(requested: str | None) -> str:
    """What of a requested scope is granted (RFC 6749 section 3.3): the known part, and always `mcp`."""
    wanted = (requested or "").split()
    return " ".join(scope for scope in SUPPORTED if scope == MCP or scope in wanted)


def within(requested: str | None, held: str) -> str:
    """The scope of a token under a grant of `held`: what of it is requested (RFC 6749 section 6), all without
    a request. Words that mean nothing here were never granted to anybody, and are ignored. InvalidScopeError
    for one that could have been granted and was not."""
    known = [scope for scope in (requested or "").split() if scope in SUPPORTED]
    if not known:
        return held
    if not set(known) <= set(held.split()):
        raise InvalidScopeError("The scope goes beyond what was granted.")
    return granted(" ".join(known))
