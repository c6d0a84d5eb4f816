"""`subscriptions/listen` of modern clients, served from what a handshake server tells all its clients."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

from msgspec import Raw

from . import jsonrpc
from .channel import Channel, ChannelError, LoopTimers, Owner, Timer, Timers, Turn, TurnCancelledError
from .envelope import SUBSCRIPTION_ID, tag
from .error_codes import INVALID_PARAMS
from .introduction import offers
from .jsonrpc import Message, MessageError

LISTEN = "subscriptions/listen"

_CHANGES = {
    "toolsListChanged": ("tools", "notifications/tools/list_changed"),
    "promptsListChanged": ("prompts", "notifications/prompts/list_changed"),
    "resourcesListChanged": ("resources", "notifications/resources/list_changed"),
}
_RESOURCES = "resourceSubscriptions"
_MOST_RESOURCES = 1000
_MOST_EARLY = 1000
_UPDATED = "notifications/resources/updated"
_PATIENCE = 30.0
"""Seconds for the server's answers to `resources/subscribe`; what is open then is not acknowledged."""


def final_result(id_: bytes) -> Message:
    """The response that ends a subscription gracefully."""
    meta = b'{"%b":%b}' % (SUBSCRIPTION_ID.encode(), id_)
    result = b'{"resultType":"complete","_meta":%b}' % meta
    return jsonrpc.parse(jsonrpc.result(id_, result))


class Subscription:
    """One listener and its filter. Raises MessageError (-32602) for a filter that is none."""

    def __init__(self, turn: Turn) -> None:
        raw = turn.message.params.get("notifications")
        asked = None if raw is None else jsonrpc.decode(raw)
        uris = asked.get(_RESOURCES, []) if isinstance(asked, dict) else []
        if not isinstance(asked, dict) or not _strings(uris) or len(uris) > _MOST_RESOURCES:
            raise MessageError(
                INVALID_PARAMS,
                "params.notifications must be an object; its resourceSubscriptions a list of "
                f"at most {_MOST_RESOURCES} URIs",
            )
        self.turn = turn
        self.changes = [name for name in _CHANGES if asked.get(name) is True]
        self.uris: list[str] = list(dict.fromkeys(uris))
        self.granted: list[str] = []
        self.unanswered = set(self.uris)
        self.late: Timer | None = None
        self._asked = frozenset(asked)
        self._acknowledged = False
        self._early: list[Message] = []

    def wants(self, message: Message) -> bool:
        if message.method == _UPDATED:
            uri = jsonrpc.decode(message.params.get("uri", b"null"))
            return isinstance(uri, str) and any(_within(uri, one) for one in self.granted)
        return any(_CHANGES[name][1] == message.method for name in self.changes)

    def tell(self, message: Message) -> None:
        """Pass on a change; the acknowledgement is the first message in any case."""
        note = tag(message, SUBSCRIPTION_ID, self.turn.client_id)
        if self._acknowledged:
            self.turn.owner.deliver(note, self.turn)
        elif len(self._early) < _MOST_EARLY:
            self._early.append(note)

    def grant(self, uri: str) -> None:
        """Tell of this resource, if that can still be acknowledged."""
        if not self._acknowledged:
            self.granted.append(uri)

    def acknowledge(self) -> None:
        if self._acknowledged or self.turn.settled:
            return
        self._acknowledged = True
        if self.late is not None:
            self.late.cancel()
        honoured: dict[str, Any] = dict.fromkeys(self.changes, True)
        self.granted.sort(key=self.uris.index)
        if _RESOURCES in self._asked and self.granted:
            honoured[_RESOURCES] = self.granted
        method = "notifications/subscriptions/acknowledged"
        first = Message.notification(method, {"notifications": honoured})
        for note in (tag(first, SUBSCRIPTION_ID, self.turn.client_id), *self._early):
            self.turn.owner.deliver(note, self.turn)
        self._early.clear()


class Subscriptions:
    """All listeners behind one handshake server, which is asked once for each resource they follow."""

    def __init__(
        self, server: Channel, introduction: Raw, owner: Owner, timers: Timers | None = None
    ) -> None:
        self._server = server
        self._offered = [
            name
            for name, (capability, _) in _CHANGES.items()
            if offers(introduction, capability, "listChanged")
        ]
        self._follows = offers(introduction, "resources", "subscribe")
        self._owner = owner
        self._timers = timers or LoopTimers()
        self._open: dict[Turn, Subscription] = {}
        self._followed: dict[str, tuple[Turn, list[Subscription]]] = {}

    @property
    def open(self) -> Iterable[Turn]:
        return self._open

    def add(self, turn: Turn) -> None:
        """Acknowledge what the server can tell, then tell it. Raises MessageError."""
        subscription = Subscription(turn)
        subscription.changes = [name for name in subscription.changes if name in self._offered]
        if not self._follows:
            subscription.unanswered.clear()
        self._open[turn] = subscription
        turn.then(lambda _: self._close(subscription))
        for uri in subscription.uris if self._follows else ():
            self._follow(uri, subscription)
        if subscription.unanswered:
            subscription.late = self._timers.call_later(_PATIENCE, subscription.acknowledge)
        else:
            subscription.acknowledge()

    def cancel(self, turn: Turn, reason: str) -> bool:
        """End the subscription that a turn opened; False if it opened none."""
        if turn not in self._open:
            return False
        turn.settle(TurnCancelledError(reason))
        return True

    def wants(self, message: Message) -> bool:
        return any(subscription.wants(message) for subscription in self._open.values())

    def hear(self, message: Message) -> None:
        """Pass on what the server tells all its clients."""
        for subscription in list(self._open.values()):
            if subscription.wants(message):
                subscription.tell(message)

    def lost(self, reason: str) -> None:
        """The server has ended: no result, which tells clients to listen again."""
        self._followed.clear()
        for turn in list(self._open):
            turn.settle(ChannelError(reason))

    def _close(self, subscription: Subscription) -> None:
        del self._open[subscription.turn]
        if subscription.late is not None:
            subscription.late.cancel()
        for uri in subscription.uris:
            self._drop(uri, subscription)

    # resources at the server

    def _follow(self, uri: str, subscription: Subscription) -> None:
        known = self._followed.get(uri)
        if known is None:
            asked = self._send("resources/subscribe", uri)
            if asked is None:
                subscription.unanswered.discard(uri)
                return
            known = self._followed[uri] = (asked, [])
        known[1].append(subscription)
        known[0].then(lambda asked: self._subscribed(uri, asked, subscription))

    def _subscribed(self, uri: str, asked: Turn, subscription: Subscription) -> None:
        agreed = isinstance(asked.outcome, Message) and asked.outcome.result is not None
        if not agreed and self._followed.get(uri, (None,))[0] is asked:
            del self._followed[uri]
        subscription.unanswered.discard(uri)
        if agreed:
            subscription.grant(uri)
        if not subscription.unanswered:
            subscription.acknowledge()

    def _drop(self, uri: str, subscription: Subscription) -> None:
        """One follower less; the last one unsubscribes."""
        asked, followers = self._followed.get(uri, (None, []))
        if subscription in followers:
            followers.remove(subscription)
            if asked is not None and not followers:
                del self._followed[uri]
                self._send("resources/unsubscribe", uri)

    def _send(self, method: str, uri: str) -> Turn | None:
        turn = Turn(Message.request(method, {"uri": uri}), self._owner, background=True)
        with contextlib.suppress(ChannelError):
            self._server.call(turn)
            return turn
        return None


def _strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _within(uri: str, subscribed: str) -> bool:
    """Whether a resource is the one subscribed to, or a part of it."""
    return uri == subscribed or uri.startswith(subscribed.rstrip("/") + "/")
