"""Which process a request of 2026-07-28 gets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._common.client_capabilities import askable
from .places import Seat, Together
from .pool import Pool
from .told import told


async def seat_for(
    pool: Pool, method: str, capabilities: Mapping[str, Any], principal: str, alone: str | None = None
) -> Seat:
    """A place for one request; `leave` it afterwards. Raises ChannelError.

    `alone` names the session that made the request, if it did: one that is to share its processes with nobody
    has them under this name.
    """
    server = pool.server
    one_client = server.isolation == "shared"
    owner = "" if one_client else principal
    if alone is not None and server.isolation == "session":
        owner, one_client = alone, True
    if server.stateless:
        together = Together.NOBODY
    else:
        together = Together.KNOWN if owner or one_client else Together.STRANGERS
    purpose = pool.openers.for_modern(told(server, capabilities))
    return await pool.seat(owner, purpose, together, askable=askable(method, capabilities))
