"""Which arguments a child's tools want mirrored in headers, from a cached `tools/list`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final

from .. import jsonrpc
from ..call import Call, CallCancelled, ChildError
from ..child import Child
from ..jsonrpc import Message
from ..settings import MODERN_VERSION
from .discover import offers
from .envelope import CLIENT_CAPABILITIES, PROTOCOL_VERSION
from .mirror import Mirrored, mirrored_by

log = logging.getLogger(__name__)

_MAX_PAGES: Final = 100
_ENVELOPE: Final = {PROTOCOL_VERSION: MODERN_VERSION, CLIENT_CAPABILITIES: {}}


class Catalogue:
    """Read when first needed and again after the child says that its tools have changed."""

    label = "catalogue"

    def __init__(self, child: Child) -> None:
        self._child = child
        self._tools: Mapping[str, tuple[Mirrored, ...]] | None = None
        self._reading: asyncio.Task[None] | None = None
        self._listening = False
        child.observer = self._changed

    async def mirrored(self, tool: str, *, fresh: bool = False) -> tuple[Mirrored, ...]:
        """What a tool wants mirrored; nothing for a tool that the child does not list.

        With `fresh` the list is read again. A list that cannot be read hinders no call.
        """
        if self._tools is None or fresh:
            if self._reading is None or self._reading.done():
                self._reading = asyncio.create_task(self._read())
            await asyncio.shield(self._reading)
        return (self._tools or {}).get(tool, ())

    def _changed(self, message: Message) -> None:
        if message.method == "notifications/tools/list_changed":
            self._tools = None

    async def _read(self) -> None:
        tools: dict[str, tuple[Mirrored, ...]] = {}
        cursor: str | None = None
        try:
            self._listen()
            async with asyncio.timeout(self._child.server.request_timeout):
                for _ in range(_MAX_PAGES):
                    page = await self._page(cursor)
                    for tool in page.get("tools", ()):
                        tools[tool["name"]] = mirrored_by(tool.get("inputSchema"))
                    cursor = page.get("nextCursor")
                    if not isinstance(cursor, str):
                        break
        except (ChildError, CallCancelled, TimeoutError, KeyError, TypeError, AttributeError) as problem:
            log.warning(
                "tools could not be listed, Mcp-Param headers go unchecked",
                extra={**self._child.tags, "problem": str(problem)},
            )
            return
        self._tools = tools

    async def _page(self, cursor: str | None) -> dict[str, Any]:
        params: dict[str, Any] = {} if cursor is None else {"cursor": cursor}
        response = await self._send("tools/list", params).response()
        if response.result is None:
            raise ChildError("tools/list was answered with an error")
        page: dict[str, Any] = jsonrpc.decode(response.result)
        return page

    def _listen(self) -> None:
        """Have a child of the stateless era tell of changes; others do so unasked."""
        if (
            not self._listening
            and self._child.era == "modern"
            and offers(self._child.introduction, "tools", "listChanged")
        ):
            self._listening = True
            self._send("subscriptions/listen", {"notifications": {"toolsListChanged": True}})

    def _send(self, method: str, params: dict[str, Any]) -> Call:
        if self._child.era == "modern":
            params = {**params, "_meta": _ENVELOPE}
        message = jsonrpc.parse(jsonrpc.request(0, method, params))
        return self._child.call(message, self, aside=True)

    # Owner

    def deliver(self, message: Message, call: Call | None) -> None:
        self._changed(message)

    def wants(self, message: Message) -> bool:
        return False

    def lost(self, reason: str) -> None:
        return
