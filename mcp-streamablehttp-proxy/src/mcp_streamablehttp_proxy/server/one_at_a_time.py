"""Calls of a server that asks its clients, one after the other.

So a question always has one candidate. Only calls whose client can be asked wait, and only for those of other
clients.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Protocol

from .._common import jsonrpc
from .._common.channel import (
    Around,
    Channel,
    ChannelError,
    LoopTimers,
    Owner,
    Timer,
    Timers,
    Turn,
    TurnCancelledError,
)
from .._common.client_capabilities import askable
from .._common.error_codes import INTERNAL_ERROR
from .._common.jsonrpc import Message

PATIENCE = 30.0
"""Seconds that a call waits to be sent."""


class Habits(Protocol):
    """What is known of a server, whichever of its processes showed it."""

    asks: bool
    """Whether it was seen to ask a client: sampling or elicitation."""


class OneAtATime(Around):
    """Around a process; where the server was never seen to ask, nothing waits."""

    def __init__(self, server: Channel, habits: Habits, timers: Timers | None = None) -> None:
        super().__init__(server)
        self._habits = habits
        self._timers = timers or LoopTimers()
        self._waiting: deque[tuple[Turn, Timer]] = deque()

    # Channel

    @property
    def open(self) -> Iterable[Turn]:
        return [*self._server.open, *(turn for turn, _ in self._waiting)]

    def detach(self, owner: Owner) -> None:
        for turn in [turn for turn, _ in self._waiting if turn.owner is owner]:
            self.cancel(turn, "the client has gone")
        self._server.detach(owner)

    def call(self, turn: Turn) -> None:
        if not _may_be_asked(turn):
            self._server.call(turn)
        elif self._habits.asks and (self._waiting or self._before(turn) is not None):
            self._waiting.append((turn, self._timers.call_later(PATIENCE, self._too_late, turn)))
        else:
            self._send(turn)

    def notify(self, message: Message, owner: Owner | None = None) -> None:
        if message.method == "notifications/cancelled":
            wanted = bytes(message.params.get("requestId") or b"")
            for turn, _ in self._waiting:
                if turn.owner is owner and turn.client_id == wanted:
                    self.cancel(turn, "cancelled by the client")
                    return
        self._server.notify(message, owner)

    def cancel(self, turn: Turn, reason: str) -> None:
        if self._drop(turn):
            turn.settle(TurnCancelledError(reason))
        else:
            self._server.cancel(turn, reason)

    def expire(self, turn: Turn, reason: str) -> None:
        if self._drop(turn):
            turn.settle(turn.expired(self.name, reason))
        else:
            self._server.expire(turn, reason)

    # the queue

    def _before(self, turn: Turn) -> Turn | None:
        """An open call of another client that the server may ask about."""
        return next(
            (one for one in self._server.open if _may_be_asked(one) and one.asker is not turn.asker), None
        )

    def _send(self, turn: Turn) -> None:
        """Raises ChannelError."""
        self._server.call(turn)
        turn.then(lambda _: self._next())

    def _next(self) -> None:
        while self._waiting:
            turn, timer = self._waiting[0]
            if self._before(turn) is not None:
                return
            self._waiting.popleft()
            timer.cancel()
            try:
                self._send(turn)
            except ChannelError as problem:
                turn.settle(problem)

    def _too_late(self, turn: Turn) -> None:
        before = self._before(turn)
        self._drop(turn)
        text = (
            f"not executed: server {self.name} asks its clients, so that its calls run one after the other, "
            f"and {_described(before)} is under way; try again when it is answered"
        )
        turn.settle(turn.message.refused(INTERNAL_ERROR, text))

    def _drop(self, turn: Turn) -> bool:
        for entry in self._waiting:
            if entry[0] is turn:
                entry[1].cancel()
                self._waiting.remove(entry)
                return True
        return False


def _may_be_asked(turn: Turn) -> bool:
    return not turn.background and askable(turn.message.method, turn.capabilities)


def _described(turn: Turn | None) -> str:
    if turn is None:
        return "another call"
    name = turn.message.params.get("name") or turn.message.params.get("uri")
    method = turn.message.method
    return method if name is None else f"{method} {jsonrpc.decode(name)}"
