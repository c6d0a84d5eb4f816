"""`tools/list`, asked by the proxy itself: page after page, in nobody's name."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any, Protocol

from msgspec import Raw

from .._common import jsonrpc
from .._common.channel import Channel, ChannelError, Owner, Turn, TurnCancelledError
from .._common.envelope import envelope_of
from .._common.introduction import capabilities
from .._common.jsonrpc import Message
from .._common.server_tools import digest
from ..settings import CombinedServer, Server
from .introduce import CLIENT_INFO

log = logging.getLogger(__name__)

_MAX_PAGES = 100
_ENVELOPE = envelope_of(Raw(jsonrpc.encode(CLIENT_INFO)), Raw(b"{}"))
_PATIENCE = 60.0
_FRESH = 3600.0
"""Seconds for which a list is not asked for again."""


async def listed(channel: Channel, owner: Owner, *, modern: bool) -> list[dict[str, Any]]:
    """All tools. Raises ChannelError, TurnCancelledError, and ValueError for what is no list of tools."""
    tools: list[dict[str, Any]] = []
    params: dict[str, Any] = {}
    for _ in range(_MAX_PAGES):
        response = await own_turn(channel, owner, "tools/list", params, modern=modern).answered()
        if response.result is None:
            raise ChannelError("tools/list was answered with an error")
        page = jsonrpc.decode(response.result)
        found = page.get("tools", []) if isinstance(page, dict) else None
        if not isinstance(found, list) or not all(isinstance(tool, dict) for tool in found):
            raise ValueError("the answer to tools/list is no list of tools")
        tools += found
        cursor = page.get("nextCursor")
        if not isinstance(cursor, str):
            break
        params = {"cursor": cursor}
    return tools


def own_turn(
    channel: Channel, owner: Owner, method: str, params: dict[str, Any], *, modern: bool = True
) -> Turn:
    """Ask for the proxy itself. Raises ChannelError."""
    told = {**params, "_meta": _ENVELOPE} if modern else params
    turn = Turn(Message.request(method, told), owner, upkeep=True)
    channel.call(turn)
    return turn


class Introduced(Protocol):
    """A process that may be asked."""

    @property
    def channel(self) -> Channel: ...

    @property
    def introduction(self) -> Raw | None: ...


class KnownTools:
    """A digest of the tools of a server that are the same for everybody who may use it.

    It is asked of a fresh process, before anybody could have changed what that lists, and never where a
    process is one person's: what it lists may be that person's, too.
    """

    label = "tool list"

    def __init__(self, server: Server, *, wanted: bool) -> None:
        self._name = server.name
        self._wanted = wanted and server.isolation != "user" and not isinstance(server, CombinedServer)
        self._due = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self.digest: dict[str, Any] | None = None
        """None while it is not known."""

    def learn(self, backend: Introduced, *, modern: bool) -> None:
        """Ask in the background, if it is time to. The process has been introduced, and nobody used it."""
        if not self._wanted or time.monotonic() < self._due:
            return
        self._due = time.monotonic() + _FRESH
        if "tools" not in capabilities(backend.introduction):
            self.digest = digest(())
            return
        task = asyncio.create_task(self._ask(backend.channel, modern=modern))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask(self, channel: Channel, *, modern: bool) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                self.digest = digest(await listed(channel, self, modern=modern))
        except (ChannelError, TurnCancelledError, TimeoutError, ValueError) as problem:
            self._due = 0.0
            log.info("tools could not be listed", extra={"server": self._name, "problem": str(problem)})

    # Owner

    def deliver(self, message: Message, turn: Turn | None) -> None:
        return

    def wants(self, message: Message) -> bool:
        return False

    def lost(self, reason: str) -> None:
        return
