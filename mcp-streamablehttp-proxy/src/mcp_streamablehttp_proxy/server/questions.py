"""Whom a server asks: stdio does not say which call a question is about (guarantee 15).

A question's candidates are the calls open when it arrives. With one client among them it is that client's.
With several it waits until the server itself has answered all but one: a server does not answer a call
while it waits for what the call needs. It is never guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from .._common.channel import Timer, Timers, Turn
from .._common.jsonrpc import Message

PATIENCE = 10.0
"""Seconds that a question waits; as long, a cancelled call counts as one that the server may be at."""

NOBODY = "no client that this request could belong to"
_UNCLEAR = "several calls are open, and it cannot be told which of them this request belongs to"


class _Waiting:
    def __init__(self, question: Message, candidates: list[Turn]) -> None:
        self.question = question
        self.candidates = candidates
        self.timer: Timer | None = None

    @property
    def askers(self) -> set[int]:
        return {id(turn.asker) for turn in self.candidates}


class Questions:
    """The questions of one server process that wait for their call to stand out."""

    def __init__(
        self,
        turns: Mapping[bytes, Turn],
        put: Callable[[Message, Turn], object],
        refuse: Callable[[Message, str], object],
        timers: Timers,
    ) -> None:
        self._turns = turns
        self._put = put
        self._refuse = refuse
        self._timers = timers
        self._waiting: list[_Waiting] = []
        self._cancelled: dict[bytes, tuple[Turn, Timer]] = {}

    def only(self) -> Turn | None:
        """The newest of the open calls, if all are of one client; else None."""
        newest: Turn | None = None
        for turn in self._candidates():
            if newest is not None and turn.asker is not newest.asker:
                return None
            newest = turn
        return newest if newest is None or newest.id in self._turns else None

    def ask(self, question: Message) -> None:
        """Put a question to the one whose call it is about, as soon as that is known."""
        waiting = _Waiting(question, self._candidates())
        if len(waiting.askers) > 1 and not any(turn.capabilities for turn in waiting.candidates):
            self._refuse(question, NOBODY)
            return
        if len(waiting.askers) > 1:
            waiting.timer = self._timers.call_later(PATIENCE, self._give_up, waiting)
        self._waiting.append(waiting)
        self._judge(waiting)
        # As many questions as clients: each may wait for the other, and none would ever stand out.
        everybody = {asker for one in self._waiting for asker in one.askers}
        if len(self._waiting) >= len(everybody):
            for one in list(self._waiting):
                self._give_up(one)

    def withdraw(self, id_: bytes) -> None:
        """The server does not want its answer any more."""
        for one in [one for one in self._waiting if one.question.id == id_]:
            self._drop(one)

    def answered(self, turn: Turn) -> None:
        """The server answered a call: it is not the one that any question is about."""
        for one in [one for one in self._waiting if turn in one.candidates]:
            one.candidates.remove(turn)
            self._judge(one)

    def cancelled(self, turn: Turn) -> None:
        """A call ended without the server's answer, which may be at it still."""
        for one in [one for one in self._waiting if turn in one.candidates]:
            self._give_up(one)
        self._cancelled[turn.id] = (turn, self._timers.call_later(PATIENCE, self._forget, turn.id))

    def late(self, id_: bytes) -> None:
        """The server answered a call that was cancelled."""
        if id_ in self._cancelled:
            self.answered(self._forget(id_))

    def close(self) -> None:
        for one in list(self._waiting):
            self._drop(one)
        for _, timer in self._cancelled.values():
            timer.cancel()
        self._cancelled.clear()

    @property
    def quiet(self) -> bool:
        """Whether nothing that was cancelled may still be under way."""
        return not self._cancelled

    def _candidates(self) -> list[Turn]:
        known = [turn for turn, _ in self._cancelled.values()]
        return known + [turn for turn in self._turns.values() if not turn.background]

    def _forget(self, id_: bytes) -> Turn:
        # Time alone clears nobody: a question that came before is still as likely to be about this call.
        turn, timer = self._cancelled.pop(id_)
        timer.cancel()
        return turn

    def _judge(self, one: _Waiting) -> None:
        askers = one.askers
        if len(askers) > 1:
            return
        self._drop(one)
        turn = one.candidates[-1] if one.candidates else None
        if turn is None or turn.id not in self._turns:
            self._refuse(one.question, NOBODY)
        else:
            self._put(one.question, turn)

    def _give_up(self, one: _Waiting) -> None:
        self._drop(one)
        self._refuse(one.question, _UNCLEAR)

    def _drop(self, one: _Waiting) -> None:
        self._waiting.remove(one)
        if one.timer is not None:
            one.timer.cancel()
