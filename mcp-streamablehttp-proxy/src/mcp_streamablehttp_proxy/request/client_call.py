"""One modern request: what its server says about it is kept until HTTP carries it away."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from msgspec import Raw

from .._common import jsonrpc
from .._common.channel import Channel, ChannelError, Turn, TurnCancelledError
from .._common.envelope import SUBSCRIPTION_ID, Envelope
from .._common.error_codes import METHOD_NOT_FOUND
from .._common.jsonrpc import Kind, Message
from .._common.subscriptions import LISTEN
from ..wire.http import MAX_UNSENT
from .http_answer import HttpAnswer


class ClientCall:
    """The owner of its turn. Raises ChannelError if the server cannot take the request."""

    def __init__(
        self,
        message: Message,
        envelope: Envelope,
        principal: str,
        channel: Channel,
        watch: Callable[[Turn], None],
    ) -> None:
        self.ended = False
        """Whether the gateway let go of a subscription, whose client gets what ends it gracefully."""
        self._channel = channel
        self._envelope = envelope
        self._wake = asyncio.Event()
        self._notes: deque[bytes] = deque()
        self._unsent = 0
        self.turn = Turn(
            message,
            self,
            principal=principal,
            capabilities=envelope.capabilities,
            asker=self,
            background=message.method == LISTEN,
        )
        watch(self.turn)
        try:
            channel.call(self.turn)
        except ChannelError as problem:
            self.turn.settle(problem)
            raise
        self.turn.then(lambda _: self._wake.set())

    @property
    def label(self) -> str:
        return self.turn.principal or "modern"

    @property
    def listening(self) -> bool:
        return self.turn.background

    def end(self) -> None:
        """Let go of a subscription, which would never end by itself."""
        self.ended = True
        self._wake.set()

    def close(self, reason: str) -> None:
        """Cancel what is not answered."""
        self._channel.cancel(self.turn, reason)

    # towards the client

    async def attend(self, answer: HttpAnswer, patience: float) -> Message | None:
        """Pass on what the server says until it answers; None if the client has gone or was let go of.

        Raises ChannelError if the server ends, TimeoutError after `patience` seconds, which do not count for
        a subscription.
        """
        clock = asyncio.get_running_loop().time
        deadline = None if self.listening else clock() + patience
        while True:
            self._wake.clear()
            while self._notes:
                note = self._notes.popleft()
                self._unsent -= len(note)
                await answer.note(note)
            if self.turn.settled:
                return self._response()
            if answer.gone or self.ended:
                return None
            remaining = None if deadline is None else deadline - clock()
            if remaining is not None and remaining <= 0:
                raise TimeoutError
            await answer.wait(self._wake, remaining)

    def _response(self) -> Message:
        try:
            response = self.turn.response()
        except TurnCancelledError as problem:
            raise ChannelError(f"the call was cancelled: {problem}") from problem
        if not self.listening or response.result is None:
            return response
        members = jsonrpc.object_members(response.result)
        meta = {**jsonrpc.object_members(members.get("_meta")), SUBSCRIPTION_ID: self.turn.client_id}
        return response.with_members(result=Raw(jsonrpc.dump({**members, "_meta": jsonrpc.dump(meta)})))

    # Owner

    def deliver(self, message: Message, turn: Turn | None) -> None:
        if message.kind is Kind.REQUEST:
            reason = "a server of 2026-07-28 asks by its results"
            self._channel.answer(message.refused(METHOD_NOT_FOUND, reason), self)
        elif message.method == "notifications/cancelled":
            self.end()
        elif message.method != "notifications/message" or self._envelope.wants(message):
            self._post(message.raw)

    def _post(self, data: bytes) -> None:
        """Keep a notification, unless the client does not read what it was sent so far."""
        if self._unsent < MAX_UNSENT:
            self._unsent += len(data)
            self._notes.append(data)
            self._wake.set()

    def wants(self, message: Message) -> bool:
        return False

    def lost(self, reason: str) -> None:
        return
