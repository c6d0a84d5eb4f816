"""Which era a child speaks: asked of the child, never concluded from one error (MCP stdio)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Raw

from .. import jsonrpc
from ..call import Call, CallCancelled, ChildError
from ..child import Child
from ..handshake import CLIENT_INFO, Introducer, open_handshake
from ..settings import MODERN_VERSION
from . import envelope

_PATIENCE: Final = 10.0
_SHORT_PATIENCE: Final = 1.0


class Prober:
    """Opens the joint children of one server command for the stateless era."""

    def __init__(self) -> None:
        self._patience = _PATIENCE

    async def open(self, child: Child) -> None:
        """Set the child's era and introduction. Raises ChildError if it speaks neither era.

        A server that keeps silent at a request it does not know is asked again, but waited for
        no longer than a moment, when its command is started once more.
        """
        introducer = Introducer(child)
        child.attach(introducer)
        try:
            probe = ask(child, introducer, {})
            try:
                async with asyncio.timeout(self._patience):
                    await asyncio.shield(probe.future)
            except TimeoutError:
                self._patience = _SHORT_PATIENCE
            if not _adopt(child, probe):
                await _fall_back(child, probe)
            child.cancel(probe, "not needed any more")
        finally:
            child.detach(introducer)


async def _fall_back(child: Child, probe: Call) -> None:
    try:
        await open_handshake(child)
    except ChildError:
        # A slow server may have settled for the stateless era when it read the probe at last.
        if not child.alive or not _adopt(child, probe):
            raise


def _adopt(child: Child, probe: Call) -> bool:
    found = discovered(probe)
    if found is not None:
        child.introduction = found
        child.era = "modern"
    return found is not None


def ask(child: Child, introducer: Introducer, capabilities: Mapping[str, Any]) -> Call:
    """Send `server/discover`. Raises ChildError."""
    meta = {
        envelope.PROTOCOL_VERSION: MODERN_VERSION,
        envelope.CLIENT_INFO: CLIENT_INFO,
        envelope.CLIENT_CAPABILITIES: capabilities,
    }
    body = jsonrpc.request(0, "server/discover", {"_meta": meta})
    return child.call(jsonrpc.parse(body), introducer)


def discovered(probe: Call) -> Raw | None:
    """The result of a server that speaks the version served here; None for any other outcome.

    Raises ChildError if the server has ended.
    """
    if not probe.future.done():
        return None
    try:
        response = probe.future.result()
    except CallCancelled:
        return None
    members = jsonrpc.object_members(None if response is None else response.result)
    versions = members.get("supportedVersions")
    spoken = None if versions is None else jsonrpc.decode(versions)
    if response is None or not isinstance(spoken, list) or MODERN_VERSION not in spoken:
        return None
    return response.result
