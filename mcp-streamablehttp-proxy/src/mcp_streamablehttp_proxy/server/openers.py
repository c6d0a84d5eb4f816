"""What processes of one server are opened for: the four cells of client era and server era.

| clients   | the server speaks | channel                    |
|-----------|-------------------|----------------------------|
| modern    | modern            | the process itself         |
| modern    | handshake         | ModernToHandshake, process |
| handshake | handshake         | the process itself         |
| handshake | modern            | HandshakeToModern, process |
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from msgspec import Raw

from .._common import jsonrpc
from .._common.channel import ChannelError
from .._common.handshake_to_modern import HandshakeToModern
from .._common.introduction import discover_from_initialize, initialize_from_discover
from .._common.jsonrpc import Message
from .._common.modern_to_handshake import ModernToHandshake, OpenCall
from .._common.parked_calls import ParkedCalls
from .._common.versions import LATEST_HANDSHAKE_VERSION, Era
from .backend import Backend
from .backing import Backing
from .chosen_tools import with_chosen_tools
from .introduce import CLIENT_INFO, PATIENCE, Introducer, discovered
from .one_at_a_time import OneAtATime

log = logging.getLogger(__name__)

_SHORT_PATIENCE = 1.0
_INFO = Raw(jsonrpc.encode(CLIENT_INFO))

Opener = Callable[[Backing], Awaitable[Backend]]
"""Introduces a fresh process. Raises ChannelError."""


class EndedAtDiscoveryError(ChannelError):
    """The server ended when it was asked for an era that it does not know: start it once more."""


@dataclass(frozen=True)
class Purpose:
    """What a process is for; processes for equal purposes are opened alike, so one does for the other."""

    era: Era
    """Of the clients."""
    words: bytes
    """What the process is told of its clients."""
    shared: bool
    """Whether several clients may use it; else it is for one session alone."""
    open: Opener = field(compare=False)

    @property
    def modern(self) -> bool:
        return self.era == "modern"


class Openers:
    """The purposes of one server's processes, and what is known of the server's era."""

    def __init__(self, parked: ParkedCalls[OpenCall], patience: float = PATIENCE) -> None:
        self.parked = parked
        self._patience = patience
        """Seconds for the answer to `server/discover`."""
        self._knows_discovery = True
        self.modern: bool | None = None
        """Whether the server speaks 2026-07-28; None until it was asked."""
        self.asks = False
        """Whether the server was seen to ask a client something that a person or a model must answer."""

    def for_session(self, initialize: Message) -> Purpose:
        """A process for one session alone, with its client's own words."""

        async def open_(child: Backing) -> Backend:
            with Introducer(child) as introducer:
                greeting = await introducer.ask(initialize, keep_id=True).answered()
                params = initialize.params
                if greeting.result is None:
                    info = params.get("clientInfo", _INFO)
                    able = params.get("capabilities", Raw(b"{}"))
                    try:
                        modern = await discovered(introducer.discover(able), self._patience)
                    except ChannelError:
                        modern = None  # the client gets what the server said before it ended
                    if modern is not None:
                        version = jsonrpc.decode(params.get("protocolVersion", b'""'))
                        result = initialize_from_discover(modern, version if isinstance(version, str) else "")
                        channel = with_chosen_tools(
                            HandshakeToModern(child, modern, info), child.server.tools
                        )
                        return Backend(child, channel, Raw(result), greeting=initialize.answered(result))
            channel = with_chosen_tools(child, child.server.tools)
            return Backend(child, channel, greeting.result, greeting=greeting, heard=introducer.heard)

        return Purpose("handshake", bytes(initialize.members.get("params", b"")), False, open_)

    def for_sessions(self, capabilities: Mapping[str, Any]) -> Purpose:
        """A process for sessions whose clients can do this together."""

        async def open_(child: Backing) -> Backend:
            child.on_question = self._heard
            with Introducer(child) as introducer:
                try:
                    initialized = await introducer.initialize(capabilities)
                    channel = with_chosen_tools(OneAtATime(child, self), child.server.tools)
                    return Backend(child, channel, initialized)
                except ChannelError:
                    if not child.alive:
                        raise
                    able = Raw(jsonrpc.encode(capabilities))
                    modern = await discovered(introducer.discover(able), self._patience)
                    if modern is None:
                        raise
            result = Raw(initialize_from_discover(modern, LATEST_HANDSHAKE_VERSION))
            channel = with_chosen_tools(HandshakeToModern(child, modern, _INFO), child.server.tools)
            return Backend(child, channel, result)

        return Purpose("handshake", jsonrpc.encode(capabilities), True, open_)

    def for_modern(self, capabilities: Mapping[str, Any]) -> Purpose:
        """A process for modern clients that can do this together."""

        async def open_(child: Backing) -> Backend:
            child.on_question = self._heard
            with Introducer(child) as introducer:
                able = Raw(jsonrpc.encode(capabilities))
                modern = await self._discover(child, introducer, able) if self._knows_discovery else None
                if modern is None:
                    try:
                        initialized = await introducer.initialize(capabilities)
                    except ChannelError:
                        # A slow server may have settled for 2026-07-28 when it read the question at last.
                        if not child.alive or not self._knows_discovery:
                            raise
                        modern = await discovered(introducer.discover(able), self._patience)
                        if modern is None:
                            raise
                self.modern = modern is not None
                if modern is not None:
                    return Backend(child, with_chosen_tools(child, child.server.tools), modern)
            # Below the translator, so that a call that waits is found again by the name its client knows.
            inner = with_chosen_tools(OneAtATime(child, self), child.server.tools)
            channel = ModernToHandshake(inner, initialized, self.parked)
            return Backend(child, channel, Raw(discover_from_initialize(initialized)))

        return Purpose("modern", jsonrpc.encode(capabilities), True, open_)

    def _heard(self, question: Message) -> None:
        # roots/list is answered from what each client said, and says nothing about whose call it was for.
        self.asks = self.asks or question.method in ("elicitation/create", "sampling/createMessage")

    async def _discover(self, child: Backing, introducer: Introducer, able: Raw) -> Raw | None:
        """The answer of a modern server. One that keeps silent at a request it does not know is waited for
        no longer than a moment when its command is started once more. Raises ChannelError."""
        child.may_end = child.pid != 0  # only a process ends at a word that it does not know
        try:
            probe = introducer.discover(able)
            found = await discovered(probe, self._patience)
        except ChannelError as problem:
            if not child.may_end:
                raise
            self._knows_discovery = False
            log.info("server ended at server/discover", extra=child.tags)
            raise EndedAtDiscoveryError(str(problem)) from problem
        child.may_end = False
        if not probe.settled:
            self._patience = _SHORT_PATIENCE
        return found
