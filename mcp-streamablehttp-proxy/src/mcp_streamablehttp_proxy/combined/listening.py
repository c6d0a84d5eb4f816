"""`subscriptions/listen` of the combination: one at each server for each of its listeners."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .._common import jsonrpc
from .._common.channel import Channel, Timer, Timers, Turn
from .._common.jsonrpc import Message
from .._common.subscriptions import Subscription

_PATIENCE = 30.0
"""Seconds for the servers' acknowledgements."""
_SOONEST = 1.0
_LATEST = 60.0
"""Seconds until a server whose subscription ended is listened to again; doubled each time."""
_ACKNOWLEDGED = "notifications/subscriptions/acknowledged"
_URIS = "resourceSubscriptions"

Send = Callable[[Turn, str, Message], Turn]


class Listener:
    """One subscription of a client, and those at the servers that serve it."""

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.subscription = Subscription(turn)
        self.at: dict[str, Turn] = {}
        self.unheard: set[str] = set()
        """Servers that have neither acknowledged nor ended."""
        self.deaf: dict[str, Timer | None] = {}
        """Servers that ended, and when they are listened to again; None if that is when they next answer."""
        self.pauses: dict[str, float] = {}

    def tell_changes(self) -> None:
        for name in self.subscription.changes:
            what = name.removesuffix("ListChanged")
            self.subscription.tell(Message.notification(f"notifications/{what}/list_changed"))

    def heard(self, server: str) -> None:
        self.unheard.discard(server)
        if not self.unheard:
            self.subscription.acknowledge()


class Listening:
    """All listeners. `owner` knows whose a resource is, if anybody does."""

    def __init__(
        self,
        servers: Mapping[str, Channel],
        send: Send,
        owner: Callable[[str], str | None],
        timers: Timers,
    ) -> None:
        self._servers = servers
        self._send = send
        self._owner = owner
        self._timers = timers
        self._open: dict[Turn, Listener] = {}

    @property
    def open(self) -> Iterable[Turn]:
        return self._open

    def add(self, turn: Turn) -> None:
        """Raises MessageError."""
        listener = Listener(turn)
        self._open[turn] = listener
        turn.then(lambda _: self._close(listener, "the client listens no more"))
        listener.unheard.update(self._servers)
        listener.subscription.late = self._timers.call_later(_PATIENCE, listener.subscription.acknowledge)
        for server in self._servers:
            self._listen(listener, server)
        if not self._servers:
            listener.subscription.acknowledge()

    def drop(self, turn: Turn, reason: str) -> bool:
        """End the subscription of a turn, which is left to settle; False if it has none."""
        listener = self._open.get(turn)
        if listener is None:
            return False
        self._close(listener, reason)
        return True

    def hear(self, message: Message, inner: Turn) -> None:
        """What a server says to a subscription."""
        listener = self._open.get(inner.context.outer)
        if listener is None:
            return
        server: str = inner.context.server
        if message.method != _ACKNOWLEDGED:
            if message.method != "notifications/cancelled":
                listener.subscription.tell(message)
            return
        agreed = jsonrpc.decode(message.params.get("notifications", b"{}"))
        uris = agreed.get(_URIS, []) if isinstance(agreed, dict) else []
        for uri in uris if isinstance(uris, list) else ():
            if uri in listener.subscription.uris and uri not in listener.subscription.granted:
                listener.subscription.grant(uri)
        if listener.pauses.pop(server, None) is not None:
            listener.tell_changes()  # of which nobody told while the server was away
        listener.heard(server)

    def changed(self) -> None:
        """A server is there that was not."""
        for listener in self._open.values():
            listener.tell_changes()

    def awake(self, server: str) -> None:
        """A server has answered: who stopped hearing it listens again."""
        for listener in list(self._open.values()):
            if server in listener.deaf and listener.deaf[server] is None:
                self._listen(listener, server)

    def _listen(self, listener: Listener, server: str) -> None:
        listener.deaf.pop(server, None)
        inner = listener.at[server] = self._send(listener.turn, server, self._wanted(listener, server))
        inner.then(lambda inner: self._ended(listener, server, inner))

    def _wanted(self, listener: Listener, server: str) -> Message:
        """The client's request, with the resources that may be the server's."""
        message = listener.turn.message
        uris = [uri for uri in listener.subscription.uris if self._owner(uri) in (None, server)]
        wanted: dict[str, Any] = {**dict.fromkeys(listener.subscription.changes, True)}
        if uris:
            wanted[_URIS] = uris
        return message.with_params({**message.params, "notifications": jsonrpc.encode(wanted)})

    def _ended(self, listener: Listener, server: str, inner: Turn) -> None:
        if listener.turn not in self._open or listener.at.get(server) is not inner:
            return
        del listener.at[server]
        if not (isinstance(inner.outcome, Message) and inner.outcome.error is not None):
            pause = listener.pauses.get(server, _SOONEST)
            listener.pauses[server] = min(2 * pause, _LATEST)
            # Upkeep must not start a server that ended because nobody used it.
            again = None
            if not listener.turn.upkeep:
                again = self._timers.call_later(pause, self._listen, listener, server)
            listener.deaf[server] = again
        listener.heard(server)

    def _close(self, listener: Listener, reason: str) -> None:
        if self._open.pop(listener.turn, None) is None:
            return
        timers = (listener.subscription.late, *listener.deaf.values())
        for timer in timers:
            if timer is not None:
                timer.cancel()
        for server, inner in list(listener.at.items()):
            self._servers[server].cancel(inner, reason)
