"""What the stateless era keeps about one child."""

from __future__ import annotations

import asyncio
from typing import Final
from weakref import WeakValueDictionary

from .. import jsonrpc
from ..call import Call, CallCancelled, ChildError
from ..child import Child
from ..jsonrpc import Message
from .catalogue import Catalogue
from .discover import capabilities, discover_from_initialize, server_info
from .envelope import LOG_LEVELS
from .listening import Followed
from .party import Party

_KEY: Final = "stateless era"


class Backend:
    """One per child, made when it is first used and forgotten with it."""

    label = "log level"

    def __init__(self, child: Child) -> None:
        self.child = child
        self.server_info = server_info(child.introduction)
        self.catalogue = Catalogue(child)
        self.followed = Followed(child)
        self._parties: WeakValueDictionary[str, Party] = WeakValueDictionary()
        self._logs = "logging" in capabilities(child.introduction)
        self._level = len(LOG_LEVELS)
        self._setting: Call | None = None
        self._discovered: bytes | None = None

    @classmethod
    def of(cls, child: Child) -> Backend:
        backend = child.extra.get(_KEY)
        if not isinstance(backend, Backend):
            backend = child.extra[_KEY] = cls(child)
        return backend

    def party(self, principal: str) -> Party:
        """The one party of a principal; kept by whoever uses it."""
        party = self._parties.get(principal)
        if party is None:
            party = self._parties[principal] = Party(self.child, principal)
        return party

    def discovered(self) -> bytes:
        """The result of `server/discover` that stands for the child's handshake."""
        if self._discovered is None:
            assert self.child.introduction is not None
            self._discovered = discover_from_initialize(self.child.introduction)
        return self._discovered

    async def log_at(self, level: int) -> None:
        """Have the server log at a level at least this verbose; requests filter for themselves."""
        if self._logs and level < self._level:
            self._level = level
            params = {"level": LOG_LEVELS[level]}
            message = jsonrpc.parse(jsonrpc.request(0, "logging/setLevel", params))
            self._setting = self.child.call(message, self, aside=True)
        if self._setting is not None and not self._setting.future.done():
            try:
                async with asyncio.timeout(self.child.server.request_timeout):
                    await asyncio.shield(self._setting.future)
            except (ChildError, CallCancelled, TimeoutError):
                return

    # Owner

    def deliver(self, message: Message, call: Call | None) -> None:
        return

    def wants(self, message: Message) -> bool:
        return False

    def lost(self, reason: str) -> None:
        return
