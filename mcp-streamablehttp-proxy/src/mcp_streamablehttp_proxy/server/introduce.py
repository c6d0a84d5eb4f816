"""How a fresh process is introduced, and in which era: asked of it, never concluded from one error.

MCP 2026-07-28, stdio, Backward Compatibility.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from msgspec import Raw

from .. import __version__
from .._common import jsonrpc
from .._common.channel import ChannelError, Turn, TurnCancelledError
from .._common.envelope import envelope_of
from .._common.error_codes import METHOD_NOT_FOUND
from .._common.introduction import speaks_modern
from .._common.jsonrpc import Kind, Message
from .._common.versions import LATEST_HANDSHAKE_VERSION
from .backing import Backing

CLIENT_INFO = {"name": "mcp-streamablehttp-proxy", "version": __version__}
_MOST_HEARD = 100
_SHOWN = 300
PATIENCE = 10.0
"""Seconds for the answer to `server/discover`."""


class Introducer:
    """The owner of what the proxy says to a process before anybody uses it. A context manager."""

    label = "introduction"

    def __init__(self, child: Backing) -> None:
        self._child = child
        self.heard: list[Message] = []
        """What the server said meanwhile that is no question."""

    def __enter__(self) -> Introducer:
        self._child.attach(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._child.detach(self)

    def ask(self, message: Message, *, keep_id: bool = False) -> Turn:
        """Raises ChannelError."""
        turn = Turn(message, self, keep_id=keep_id, background=True)
        self._child.call(turn)
        return turn

    def discover(self, capabilities: Raw) -> Turn:
        """Ask whether the server speaks 2026-07-28. Raises ChannelError."""
        meta = envelope_of(Raw(jsonrpc.encode(CLIENT_INFO)), capabilities)
        return self.ask(Message.request("server/discover", {"_meta": meta}))

    async def initialize(self, capabilities: Mapping[str, Any]) -> Raw:
        """The result of the proxy's own handshake. Raises ChannelError."""
        params = {
            "protocolVersion": LATEST_HANDSHAKE_VERSION,
            "capabilities": capabilities,
            "clientInfo": CLIENT_INFO,
        }
        response = await self.ask(Message.request("initialize", params)).answered()
        if response.result is None:
            said = jsonrpc.object_members(response.error).get("message", b'""')
            reason = jsonrpc.decode(said)
            raise ChannelError(f"server {self._child.name} refused to initialize: {str(reason)[:_SHOWN]}")
        self._child.notify(Message.notification("notifications/initialized"), self)
        return response.result

    # Owner

    def deliver(self, message: Message, turn: Turn | None) -> None:
        if message.kind is Kind.REQUEST:
            # Before its introduction a server may ask whether anybody is there (MCP 2025-11-25, Lifecycle).
            answer = (
                message.answered(b"{}")
                if message.method == "ping"
                else message.refused(METHOD_NOT_FOUND, "no client is connected yet")
            )
            self._child.answer(answer, self)
        elif len(self.heard) < _MOST_HEARD:
            self.heard.append(message)

    def wants(self, message: Message) -> bool:
        return True

    def lost(self, reason: str) -> None:
        return


async def discovered(probe: Turn, patience: float) -> Raw | None:
    """The result of a server that speaks 2026-07-28; None for any other answer, and for none in time.

    Raises ChannelError if the server ended.
    """
    try:
        async with asyncio.timeout(patience):
            return speaks_modern(await probe.answered())
    except (TimeoutError, TurnCancelledError):
        return None
