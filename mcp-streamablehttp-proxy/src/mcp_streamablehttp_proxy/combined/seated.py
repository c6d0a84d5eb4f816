"""One server as a channel that is always there: each request takes a process of the server's own pool.

So a server is isolated, shared and limited in the combination as it is alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from .._common.channel import Channel, ChannelError, Owner, Turn, TurnCancelledError
from .._common.envelope import read_envelope
from .._common.jsonrpc import Message, MessageError
from ..server.pool import Pool
from ..server.seating import seat_for


class Seated:
    """`alone` names the session that this is for, if it is for one."""

    def __init__(self, pool: Pool, alone: str | None = None) -> None:
        self._pool = pool
        self._alone = alone
        self._told: Mapping[str, Any] = {}
        """What the server was told at first that its client can do."""
        self._at: dict[Turn, Channel] = {}
        self._open: set[Turn] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def name(self) -> str:
        return self._pool.server.name

    @property
    def owners(self) -> Iterable[Owner]:
        return ()

    @property
    def open(self) -> Iterable[Turn]:
        return self._open

    def attach(self, owner: Owner) -> None:
        """All that a server of 2026-07-28 says belongs to a turn."""

    def detach(self, owner: Owner) -> None:
        for turn in [turn for turn in self._open if turn.owner is owner]:
            self.cancel(turn, "the client has gone")

    def call(self, turn: Turn) -> None:
        self._open.add(turn)
        turn.then(self._forget)
        waiting = self._pool.openers.parked.find(turn.message, turn.principal)
        if waiting is not None:
            self._at[turn] = waiting.home
            waiting.home.call(turn)
            return
        task = asyncio.create_task(self._sit(turn))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def notify(self, message: Message, owner: Owner | None = None) -> None:
        """Drops notifications: none that is for a server says for which of its processes."""

    def answer(self, message: Message, owner: Owner) -> bool:
        return any(at.answer(message, owner) for at in set(self._at.values()))

    def cancel(self, turn: Turn, reason: str) -> None:
        if (at := self._at.get(turn)) is not None:
            at.cancel(turn, reason)
        turn.settle(TurnCancelledError(reason))

    def expire(self, turn: Turn, reason: str) -> None:
        if (at := self._at.get(turn)) is not None:
            at.expire(turn, reason)
        turn.settle(turn.expired(self.name, reason))

    def close(self) -> None:
        """Let go of every turn, and of the processes that nobody else has."""
        for turn in list(self._open):
            self.cancel(turn, "the client has gone")
        if self._alone is not None:
            self._pool.let_go(self._alone)

    def _forget(self, turn: Turn) -> None:
        self._open.discard(turn)
        self._at.pop(turn, None)

    async def _sit(self, turn: Turn) -> None:
        message = turn.message
        try:
            able = self._told if turn.upkeep else read_envelope(message).capabilities
            if message.method == "server/discover":
                self._told = able
            seat = await seat_for(self._pool, message.method, able, turn.principal, self._alone)
        except ChannelError as problem:
            turn.settle(problem)
            return
        except MessageError as problem:
            turn.settle(message.refused(problem.code, problem.reason))
            return
        if turn.settled:
            seat.leave()
            return
        self._at[turn] = seat.backend.channel
        try:
            seat.backend.channel.call(turn)
        except ChannelError as problem:
            turn.settle(problem)
        if turn.upkeep:
            seat.leave()
        else:
            turn.then(lambda _: seat.leave())
