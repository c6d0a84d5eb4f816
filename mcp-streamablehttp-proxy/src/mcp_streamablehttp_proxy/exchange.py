"""One POST that carries requests: answered at once as JSON, or moved to an event stream.

It becomes a stream as soon as the server says something before the answer, or the answer is
not there after `stream_after` seconds; from then on it survives a lost connection.
"""

from __future__ import annotations

import asyncio

from . import jsonrpc
from .call import Call, CallCancelled, ChildError
from .child import Child
from .http import Request
from .jsonrpc import Message
from .session import Session
from .settings import Settings
from .streams import Stream


class Exchange:
    def __init__(self, session: Session, child: Child, settings: Settings, streamable: bool) -> None:
        self.session = session
        self.streamable = streamable
        """Whether the client accepts an event stream."""
        self.calls: list[Call] = []
        self._child = child
        self._settings = settings
        self._stream: Stream | None = None
        self._open = 0

    def add(self, message: Message) -> Call:
        """Send a request to the child. Raises ChildError."""
        call = self._child.call(message, self.session, keep_id=self.session.exclusive)
        call.context = self
        self.calls.append(call)
        return call

    def related(self) -> Stream | None:
        """The stream for what the server says about these calls; None if there can be none."""
        return self.open_stream() if self.streamable else None

    def open_stream(self) -> Stream:
        """Turn the answer into an event stream."""
        if self._stream is None:
            stream = self._stream = self.session.new_stream()
            stream.connect()
            if self.session.primed:
                stream.prime(self.session.store.add(stream.number, b""), self._settings.retry)
            for call in self.calls:
                call.interrupt()
        return self._stream

    def expire(self) -> None:
        """Answer every open call with a timeout."""
        for call in self.calls:
            self._child.expire(call, "did not answer in time")

    async def collect(self) -> list[bytes] | None:
        """All answers in order; None as soon as they go to a stream instead."""
        for call in self.calls:
            try:
                if await call.future is None:
                    return None
            except (ChildError, CallCancelled):
                continue
        return [self.answer(call) for call in self.calls] if self._stream is None else None

    async def stream_out(self, request: Request, patience: float) -> None:
        """Write the stream until all calls are answered or the client goes; then the stream waits."""
        stream = self.open_stream()
        self._open = len(self.calls)
        timer = asyncio.get_running_loop().call_later(patience, self.expire)
        for call in self.calls:
            self._watch(call, timer)
        await request.start_stream()
        await stream.run(request, self._settings)

    def _watch(self, call: Call, timer: asyncio.TimerHandle) -> None:
        call.future.add_done_callback(lambda _: self._settled(call, timer))

    def _settled(self, call: Call, timer: asyncio.TimerHandle) -> None:
        stream = self.open_stream()
        self.session.emit(stream, self.answer(call))
        self._open -= 1
        if not self._open:
            timer.cancel()
            self.session.end(stream)

    def answer(self, call: Call) -> bytes:
        """The answer to a call that is done, under the client's id."""
        id_ = call.client_id
        try:
            response = call.future.result()
        except CallCancelled as problem:
            return jsonrpc.error(id_, jsonrpc.REQUEST_CANCELLED, f"request cancelled: {problem}")
        except ChildError as problem:
            return jsonrpc.error(id_, jsonrpc.INTERNAL_ERROR, str(problem))
        assert response is not None
        return response.with_id(id_)
