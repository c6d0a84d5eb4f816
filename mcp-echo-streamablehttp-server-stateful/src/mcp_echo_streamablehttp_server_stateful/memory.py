"""What of the store a call belongs to, and what a tool may do there."""

from __future__ import annotations

import logging
import time

from mcp_echo_streamablehttp_server_stateless.call import Call
from mcp_echo_streamablehttp_server_stateless.toolbox import ToolError

from .entry import Entry, Kind, key_of, new_id
from .settings import Settings
from .store import StateFullError, StateUnavailableError, Store

logger = logging.getLogger(__name__)

NO_STATE = (
    "Nothing is kept for this request: protocol 2026-07-28 has no sessions, and nobody is signed in. "
    "Sign in through the gateway (with MCP_TRUST_IDENTITY=true here), give echo the handle 'new', or connect "
    "with a handshake version."
)
NEW = "new"
"""Given as a handle to echo, it makes one."""


class Memory:
    def __init__(self, store: Store, settings: Settings) -> None:
        self.store = store
        self.settings = settings

    async def use(
        self, call: Call, handle: str | None, message: str | None = None
    ) -> tuple[Entry, str | None] | None:
        """The record that a call belongs to, and its handle if it has one. None when it belongs to none.

        Raises ToolError for a handle that is not the caller's, and when the store cannot take or give it.
        """
        try:
            return await self._use(call, handle, message)
        except StateFullError as error:
            raise ToolError("No more can be remembered at the moment; try again later.") from error
        except StateUnavailableError as error:
            logger.exception("The state cannot be reached")
            raise ToolError("The state of this server cannot be reached at the moment; try again.") from error

    async def _use(
        self, call: Call, handle: str | None, message: str | None
    ) -> tuple[Entry, str | None] | None:
        user = call.identity.user_id or ""
        if handle is not None:
            if handle == NEW and message is not None:
                handle = new_id()
                await self._open("handle", handle, user)
            key = key_of("handle", handle)
            found = await self.store.find(key)
            # One sentence for both: whether somebody else has such a handle is nobody's business.
            if found is None or found.owner != user:
                raise ToolError("There is no such handle of yours; give echo the handle 'new' to make one.")
            used = await self.store.use(key, message)
            return (used, handle) if used else None
        kind: Kind = "session" if call.handshake else "user"
        id_ = call.session_id if call.handshake else user
        if not id_:
            return None
        key = key_of(kind, id_)
        used = await self.store.use(key, message)
        if used is None and kind == "user":
            await self._open(kind, id_, user)
            used = await self.store.use(key, message)
        return (used, None) if used else None

    async def _open(self, kind: Kind, id_: str, user: str) -> None:
        now = time.time()
        own = self.settings.sessions_per_user if self.settings.trust_identity else None
        entry = Entry(key_of(kind, id_), kind, user, now, now)
        await self.store.open(entry, own, self.settings.max_sessions)
