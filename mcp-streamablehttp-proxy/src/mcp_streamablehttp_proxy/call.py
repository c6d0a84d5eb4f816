"""A call to a server process, who makes it, and how it can fail."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final, Protocol

from .jsonrpc import Message

_TOKEN: Final = b'"progressToken"'


class ChildError(Exception):
    """The server behind the proxy failed; HTTP 502. The text is a sentence that names it."""


class CallCancelled(Exception):
    """The call was cancelled by its own side; there is no response."""


class Owner(Protocol):
    """Whoever uses a child: a handshake session, or a request of the stateless era."""

    @property
    def label(self) -> str:
        """What the log calls it."""

    def deliver(self, message: Message, call: Call | None) -> None:
        """A request or notification from the server; `call` is the call it belongs to, if known.

        A request must be answered with `Child.answer`, by this owner. Must not block or raise.
        """

    def wants(self, message: Message) -> bool:
        """Whether this owner is to get a notification that belongs to no call."""

    def lost(self, reason: str) -> None:
        """The child has ended; its pending calls are answered already."""


class Call:
    """One request on its way. `id` is the one that the child got, as raw JSON; `future` yields the
    response, under that id.

    After `interrupt` the old future yields None, and a new one stands in its place.
    """

    __slots__ = ("aside", "client_id", "context", "future", "id", "message", "owner", "started")

    def __init__(
        self, id_: bytes, message: Message, owner: Owner, future: asyncio.Future[Message | None]
    ) -> None:
        self.id = id_
        self.client_id = message.id or b"null"
        self.owner = owner
        self.future = future
        self.message = message
        self.started = time.monotonic()
        self.aside = False
        """Whether what the server asks or logs can never be about this call."""
        self.context: Any = None
        """For the owner; nothing here reads it."""

    @property
    def token(self) -> bytes | None:
        """The progress token of the request as it went to the server, as raw JSON."""
        return progress_token(self.message)

    def interrupt(self) -> None:
        """Let whoever awaits the response do something else first."""
        if not self.future.done():
            waiting, self.future = self.future, self.future.get_loop().create_future()
            waiting.set_result(None)

    async def response(self) -> Message:
        """The response, whatever interrupts the wait. Raises ChildError, CallCancelled."""
        while True:
            response = await self.future
            if response is not None:
                return response


def progress_token(request: Message) -> bytes | None:
    """The token under which its client wants to hear of progress, as raw JSON."""
    if _TOKEN not in request.raw:
        return None
    token = request.meta.get("progressToken")
    return bytes(token) if token is not None else None


class Dialect(Owner, Protocol):
    """Stands between the other owners and the child, where these do not speak the same version."""

    def call(self, message: Message, owner: Owner) -> Call: ...

    def notify(self, message: Message, owner: Owner) -> None: ...

    def answer(self, message: Message, owner: Owner) -> bool: ...

    def cancel(self, call: Call, reason: str) -> None: ...

    def expire(self, call: Call, reason: str) -> None: ...

    def detach(self, owner: Owner) -> None: ...
