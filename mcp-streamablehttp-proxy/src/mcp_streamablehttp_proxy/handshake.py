"""The handshake that the proxy performs itself, for a child that several sessions share."""

from __future__ import annotations

from typing import Final

from . import __version__, jsonrpc
from .call import Call, ChildError
from .child import Child
from .jsonrpc import Kind, Members, Message
from .settings import HANDSHAKE_VERSIONS, LATEST_HANDSHAKE_VERSION

CLIENT_INFO: Final = {"name": "mcp-streamablehttp-proxy", "version": __version__}
ALL_CAPABILITIES: Final = {
    "roots": {"listChanged": True},
    "sampling": {"context": {}, "tools": {}},
    "elicitation": {"form": {}, "url": {}},
}
"""What sessions behind a joint child may turn out to be able to do."""

_NEEDED: Final = {
    "sampling/createMessage": "sampling",
    "elicitation/create": "elicitation",
    "roots/list": "roots",
}


class Introducer:
    """The owner of the proxy's own handshake; it has nothing to offer to a server."""

    label = "handshake"

    def __init__(self, child: Child) -> None:
        self._child = child

    def deliver(self, message: Message, call: Call | None) -> None:
        if message.kind is Kind.REQUEST:
            body = jsonrpc.error(message.id, jsonrpc.METHOD_NOT_FOUND, "no client is connected yet")
            self._child.answer(jsonrpc.parse(body), self)

    def wants(self, message: Message) -> bool:
        return False

    def lost(self, reason: str) -> None:
        return


async def open_handshake(child: Child) -> None:
    """Initialize a joint child; its result is kept in `child.introduction`. Raises ChildError."""
    introducer = Introducer(child)
    child.attach(introducer)
    try:
        params = {
            "protocolVersion": LATEST_HANDSHAKE_VERSION,
            "capabilities": ALL_CAPABILITIES,
            "clientInfo": CLIENT_INFO,
        }
        response = await child.ask("initialize", params, introducer)
        if response.result is None:
            raise ChildError(f"server {child.server.name} refused to initialize")
        child.introduction = response.result
        child.era = "handshake"
        started = jsonrpc.parse(jsonrpc.notification("notifications/initialized"))
        child.notify(started, introducer)
    finally:
        child.detach(introducer)


def introduction_for(introduction: Members, requested: str) -> bytes:
    """The initialize result of a joint child, for a client that asked for a certain version."""
    spoken = jsonrpc.decode(introduction["protocolVersion"])
    if requested in HANDSHAKE_VERSIONS and spoken in HANDSHAKE_VERSIONS:
        older = max(HANDSHAKE_VERSIONS.index(requested), HANDSHAKE_VERSIONS.index(spoken))
        spoken = HANDSHAKE_VERSIONS[older]
    return jsonrpc.dump({**introduction, "protocolVersion": jsonrpc.encode(spoken)})


def missing_capability(method: str, capabilities: Members) -> str | None:
    """The capability that a client lacks for a server's request; None when it lacks none."""
    needed = _NEEDED.get(method)
    return needed if needed is not None and needed not in capabilities else None
