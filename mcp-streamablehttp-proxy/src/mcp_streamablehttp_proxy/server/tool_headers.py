"""Which arguments a server's tools want mirrored in headers, from a cached `tools/list`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from msgspec import Raw

from .._common.channel import Channel, ChannelError, Turn, TurnCancelledError
from .._common.introduction import offers
from .._common.jsonrpc import Message
from .._common.mirrored_headers import Mirrored
from .._common.subscriptions import LISTEN
from ..wire.mirrored_headers import mirrored_by
from .tool_list import listed, own_turn

log = logging.getLogger(__name__)

_NO_TOOLS = (ValueError, KeyError, TypeError, AttributeError)
"""What reading something else than a list of tools raises."""


class ToolHeaders:
    """Read over a modern channel when first needed, and again after the tools have changed."""

    label = "tool headers"

    def __init__(self, channel: Channel, introduction: Raw | None, patience: float) -> None:
        self._channel = channel
        self._patience = patience
        self._tells = offers(introduction, "tools", "listChanged")
        self._tools: Mapping[str, tuple[Mirrored, ...]] | None = None
        self._reading: asyncio.Task[None] | None = None
        self._listening = False

    async def mirrored(self, tool: str, *, fresh: bool = False) -> tuple[Mirrored, ...]:
        """What a tool wants mirrored; nothing for a tool that the server does not list.

        With `fresh` the list is read again. A list that cannot be read hinders no call.
        """
        if self._tools is None or fresh:
            if self._reading is None or self._reading.done():
                self._reading = asyncio.create_task(self._read())
            await asyncio.shield(self._reading)
        return (self._tools or {}).get(tool, ())

    async def _read(self) -> None:
        tools: dict[str, tuple[Mirrored, ...]] = {}
        try:
            if self._tells and not self._listening:
                self._listening = True
                own_turn(self._channel, self, LISTEN, {"notifications": {"toolsListChanged": True}})
            async with asyncio.timeout(self._patience):
                for tool in await listed(self._channel, self, modern=True):
                    tools[tool["name"]] = mirrored_by(tool.get("inputSchema"))
        except (ChannelError, TurnCancelledError, TimeoutError, *_NO_TOOLS) as problem:
            extra = {"server": self._channel.name, "problem": str(problem)}
            log.warning("tools could not be listed, Mcp-Param headers go unchecked", extra=extra)
            return
        self._tools = tools

    # Owner

    def deliver(self, message: Message, turn: Turn | None) -> None:
        if message.method == "notifications/tools/list_changed":
            self._tools = None

    def wants(self, message: Message) -> bool:
        return False

    def lost(self, reason: str) -> None:
        return
