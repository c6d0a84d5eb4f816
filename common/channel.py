"""The one interface of a server, of a translator in front of it, and of whatever else stands between.

A channel takes requests as turns and answers each exactly once. What a server says meanwhile is
delivered to the owner of the turn it belongs to. A server process is a channel, a server elsewhere can be
one, and a translator is a channel that has another behind it:

    owner  --call(turn)-->  translator  --call(inner turn)-->  process
    owner  <--deliver-----  translator  <--deliver-----------  process
           <--turn.settle-              <--inner.settle------

Nothing here waits, so a translator is tested with messages alone: an event in, messages out.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from .error_codes import REQUEST_TIMEOUT
from .jsonrpc import Message

_TOKEN = b'"progressToken"'
_NOTHING: Mapping[str, Any] = {}


class ChannelError(Exception):
    """The server behind a channel failed; HTTP 502. The text is a sentence that names it."""


class UnavailableError(ChannelError):
    """The server cannot be used now; HTTP 503 with Retry-After of `retry_after` seconds."""

    def __init__(self, reason: str, retry_after: float) -> None:
        super().__init__(reason)
        self.retry_after = max(1, round(retry_after))


class TurnCancelledError(Exception):
    """The request was cancelled by its own side; there is no response."""


class Timer(Protocol):
    def cancel(self) -> None: ...


class Timers(Protocol):
    """The part of an event loop that translators need; a test passes a clock of its own."""

    def call_later(self, delay: float, callback: Callable[..., object], /, *args: Any) -> Timer: ...


class LoopTimers:
    """The timers of the running event loop."""

    def call_later(self, delay: float, callback: Callable[..., object], /, *args: Any) -> Timer:
        return asyncio.get_running_loop().call_later(delay, callback, *args)


class Owner(Protocol):
    """Makes requests, and hears what the server says about them. No method may block or raise."""

    @property
    def label(self) -> str:
        """What the log calls it."""

    def deliver(self, message: Message, turn: Turn | None) -> None:
        """A request or notification from the server; `turn` is the one it belongs to, if known.

        A request must be answered with `Channel.answer`, by this owner.
        """

    def wants(self, message: Message) -> bool:
        """Whether this owner is to get a notification that belongs to no turn."""

    def lost(self, reason: str) -> None:
        """The server has ended; its open turns are settled already."""


class Channel(Protocol):
    """A server, seen by those who use it."""

    @property
    def name(self) -> str:
        """What error sentences call the server."""

    @property
    def owners(self) -> Iterable[Owner]:
        """Who is attached."""

    @property
    def open(self) -> Iterable[Turn]:
        """The turns that the server is at, and the subscriptions, without those for upkeep."""

    def attach(self, owner: Owner) -> None:
        """Let an owner hear what belongs to no turn, until `detach` or `lost`."""

    def detach(self, owner: Owner) -> None:
        """Forget an owner: cancel its turns, refuse what the server asked it."""

    def call(self, turn: Turn) -> None:
        """Send a request. Raises ChannelError if the server cannot take it."""

    def notify(self, message: Message, owner: Owner | None = None) -> None:
        """Send a notification; a cancellation names a turn by the id that its owner gave it."""

    def answer(self, message: Message, owner: Owner) -> bool:
        """Pass on the answer to a request of the server; False if it never asked this owner."""

    def cancel(self, turn: Turn, reason: str) -> None:
        """Have the server stop, and settle the turn with TurnCancelledError; too late is no error."""

    def expire(self, turn: Turn, reason: str) -> None:
        """Have the server stop, and settle the turn with an error response (-32001)."""


class Around:
    """A channel around another: passes everything on, but for what a subclass does in its own way."""

    def __init__(self, server: Channel) -> None:
        self._server = server

    @property
    def name(self) -> str:
        return self._server.name

    @property
    def owners(self) -> Iterable[Owner]:
        return self._server.owners

    @property
    def open(self) -> Iterable[Turn]:
        return self._server.open

    def attach(self, owner: Owner) -> None:
        self._server.attach(owner)

    def detach(self, owner: Owner) -> None:
        self._server.detach(owner)

    def call(self, turn: Turn) -> None:
        self._server.call(turn)

    def notify(self, message: Message, owner: Owner | None = None) -> None:
        self._server.notify(message, owner)

    def answer(self, message: Message, owner: Owner) -> bool:
        return self._server.answer(message, owner)

    def cancel(self, turn: Turn, reason: str) -> None:
        self._server.cancel(turn, reason)

    def expire(self, turn: Turn, reason: str) -> None:
        self._server.expire(turn, reason)


class Turn:
    """One request on its way, until it is settled: with the response, or with what went wrong."""

    __slots__ = (
        "_then",
        "_waiting",
        "asker",
        "background",
        "capabilities",
        "context",
        "id",
        "keep_id",
        "message",
        "outcome",
        "owner",
        "principal",
        "refused",
        "started",
        "upkeep",
    )

    def __init__(
        self,
        message: Message,
        owner: Owner,
        *,
        principal: str = "",
        capabilities: Mapping[str, Any] = _NOTHING,
        asker: object = None,
        keep_id: bool = False,
        background: bool = False,
        upkeep: bool = False,
    ) -> None:
        self.message = message
        self.owner = owner
        self.principal = principal
        self.capabilities = capabilities
        """What the client of this request declared."""
        self.asker: object = owner if asker is None else asker
        """The client that made the request, as far as it can be told apart: who would be asked."""
        self.keep_id = keep_id
        """Whether the server gets the request's own id: only for an owner that shares it with nobody."""
        self.background = background or upkeep
        """A subscription or the like: never the cause of what the server asks or logs."""
        self.upkeep = upkeep
        """The relay's own: keeps no process from being idle."""
        self.id = b""
        """The id that the server got, as raw JSON."""
        self.outcome: Message | Exception | None = None
        self.refused: list[Mapping[str, Any]] = []
        """Capabilities that the server relied on and the client had not declared."""
        self.context: Any = None
        """For the owner; no channel reads it."""
        self.started = time.monotonic()
        self._waiting: asyncio.Future[None] | None = None
        self._then: Callable[[Turn], object] | tuple[Callable[[Turn], object], ...] | None = None

    @property
    def client_id(self) -> bytes:
        """The id that the request came with, as raw JSON."""
        return self.message.id or b"null"

    @property
    def token(self) -> bytes | None:
        """The token under which the owner wants to hear of progress, as raw JSON."""
        if _TOKEN not in self.message.raw:
            return None
        token = self.message.meta.get("progressToken")
        return bytes(token) if token is not None else None

    @property
    def settled(self) -> bool:
        return self.outcome is not None

    def settle(self, outcome: Message | Exception) -> None:
        """Once and for all; a response has the id of the request as its owner knows it or the server got it,
        so that whoever passes it on sets the id."""
        if self.outcome is None:
            self.outcome = outcome
            self.interrupt()
            then, self._then = self._then, None
            if isinstance(then, tuple):
                for one in then:
                    one(self)
            elif then is not None:
                then(self)

    def then(self, callback: Callable[[Turn], object]) -> None:
        """Call back when the turn is settled, at once if it is."""
        if self.outcome is not None:
            callback(self)
        elif self._then is None:
            self._then = callback
        else:
            before = self._then if isinstance(self._then, tuple) else (self._then,)
            self._then = (*before, callback)

    def expired(self, server: str, reason: str) -> Message:
        """The response to a request that its server has not answered in time (-32001)."""
        return self.message.refused(REQUEST_TIMEOUT, f"server {server} {reason}")

    def response(self) -> Message:
        """The response of a settled turn. Raises ChannelError, TurnCancelledError."""
        if isinstance(self.outcome, Exception):
            raise self.outcome
        assert self.outcome is not None
        return self.outcome

    # for the one that waits

    async def wait(self) -> None:
        """Return once the turn is settled, or `interrupt` wants something else done first."""
        if self.outcome is None:
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting

    def interrupt(self) -> None:
        """Let whoever waits go on."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def answered(self) -> Message:
        """The response, whatever interrupts the wait. Raises ChannelError, TurnCancelledError."""
        while self.outcome is None:
            await self.wait()
        return self.response()
