"""One POST that carries requests: answered at once as JSON, or moved to an event stream.

It becomes a stream as soon as the server says something before the answer, or the answer is
not there after `stream_after` seconds; from then on it survives a lost connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .._common import jsonrpc
from .._common.channel import Channel, ChannelError, Turn, TurnCancelledError
from .._common.error_codes import INTERNAL_ERROR, REQUEST_CANCELLED
from .._common.jsonrpc import Message
from ..settings import Settings
from ..wire.http import Request
from .session import Session
from .streams import Connection, Stream


class Exchange:
    def __init__(
        self,
        session: Session,
        channel: Channel,
        settings: Settings,
        streamable: bool,
        watch: Callable[[Turn], None],
    ) -> None:
        self.session = session
        self.streamable = streamable
        """Whether the client accepts an event stream."""
        self.turns: list[Turn] = []
        self._channel = channel
        self._settings = settings
        self._watch = watch
        self._stream: Stream | None = None
        self._connection: Connection | None = None
        self._open = 0

    def add(self, message: Message) -> Turn:
        """Send a request to the server. Raises ChannelError."""
        turn = self.session.turn(message)
        turn.context = self
        self._watch(turn)
        try:
            self._channel.call(turn)
        except ChannelError as problem:
            turn.settle(problem)
            raise
        self.turns.append(turn)
        return turn

    def related(self) -> Stream | None:
        """The stream for what the server says about these turns; None if there can be none."""
        return self.open_stream() if self.streamable else None

    def open_stream(self) -> Stream:
        """Turn the answer into an event stream."""
        if self._stream is None:
            stream = self._stream = self.session.new_stream()
            self._connection = stream.connect()
            if self.session.primed:
                stream.prime(self.session.store.add(stream.number, b""), self._settings.retry)
            for turn in self.turns:
                turn.interrupt()
        return self._stream

    @property
    def streaming(self) -> bool:
        return self._stream is not None

    def expire(self) -> None:
        """Answer every open turn with a timeout."""
        for turn in self.turns:
            self._channel.expire(turn, "did not answer in time")

    def cancel(self, reason: str) -> None:
        """Have the server stop with every open turn."""
        for turn in self.turns:
            self._channel.cancel(turn, reason)

    async def collect(self) -> list[bytes] | None:
        """All answers in order; None as soon as they go to a stream instead."""
        for turn in self.turns:
            if self._stream is None:
                await turn.wait()
        return [answer(turn) for turn in self.turns] if self._stream is None else None

    async def stream_out(self, request: Request, patience: float) -> None:
        """Write the stream until all turns are settled or the client goes; then the stream waits."""
        self.open_stream()
        self._open = len(self.turns)
        timer = asyncio.get_running_loop().call_later(patience, self.expire)
        for turn in self.turns:
            turn.then(lambda settled: self._settled(settled, timer))
        assert self._connection is not None
        await request.start_stream()
        await self._connection.run(request, self._settings)

    def _settled(self, turn: Turn, timer: asyncio.TimerHandle) -> None:
        stream = self.open_stream()
        self.session.emit(stream, answer(turn), answer=True)
        self._open -= 1
        if not self._open:
            timer.cancel()
            self.session.end(stream)


def answer(turn: Turn) -> bytes:
    """The answer to a turn that is settled, under the client's id."""
    try:
        return turn.response().with_id(turn.client_id)
    except TurnCancelledError as problem:
        reason = f"request cancelled: {problem}"
        return jsonrpc.error(turn.client_id, REQUEST_CANCELLED, reason)
    except ChannelError as problem:
        return jsonrpc.error(turn.client_id, INTERNAL_ERROR, str(problem))
