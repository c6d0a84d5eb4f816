"""Events of a session's streams, kept in the store for clients that come back with `Last-Event-ID`."""

from __future__ import annotations

import logging
import time
from contextvars import ContextVar

import anyio
from mcp.server.streamable_http import GET_STREAM_KEY, EventCallback, EventMessage, EventStore
from mcp_types import JSONRPCMessage, JSONRPCNotification, JSONRPCRequest, jsonrpc_message_adapter

from .store import StateUnavailableError, Store

logger = logging.getLogger(__name__)

PAUSE = 0.2
"""Seconds between two looks at what another replica may have added."""
PATIENCE = 60.0
"""Seconds that a stream which was taken up stays open for the rest; then its client comes again."""

session: ContextVar[str] = ContextVar("session")
"""The key of the session that the present request, or the SDK's task, belongs to.

The SDK names its streams by request ids, which are a client's own: two sessions use the same ones.
"""


class Events(EventStore):
    """A stream that broke is taken up anywhere: at this replica or another, after a restart."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def store_event(self, stream_id: str, message: JSONRPCMessage | None) -> str:
        text = "" if message is None else message.model_dump_json(by_alias=True, exclude_unset=True)
        try:
            return await self.store.append(session.get(), stream_id, text)
        except StateUnavailableError:
            # The answer itself must not be lost: it goes out, and only cannot be asked for again.
            logger.warning("An event could not be kept: the state cannot be reached")
            return "not-kept"

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        """Send what followed, and what follows until the call is answered.

        What another replica sends stands in the store alone, and so does what this one sends between the two
        steps of the SDK's own resumption; therefore the store is watched in every case. A session's standing
        stream is the SDK's to go on with: its name is the answer.
        """
        key, last, until = session.get(), last_event_id, time.monotonic() + PATIENCE
        while (kept := await self.store.after(key, last)) is not None:
            for event in kept.events:
                last = event.id
                if event.message:
                    message = jsonrpc_message_adapter.validate_json(event.message)
                    await send_callback(EventMessage(message, event.id))
                    if not isinstance(message, JSONRPCRequest | JSONRPCNotification):
                        return None
            if kept.stream == GET_STREAM_KEY:
                return kept.stream
            if time.monotonic() > until:
                return None
            await anyio.sleep(PAUSE)
        return None
