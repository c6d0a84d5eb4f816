"""The HTTP side of one request: JSON if the answer comes first, else an event stream."""

from __future__ import annotations

import asyncio

from .._common.error_codes import INVALID_REQUEST
from ..wire.http import RefusedError, Request, accepts, event

_SOON = 0.05
"""Seconds in which most answers are there; only later is the client watched."""


class HttpAnswer:
    """Once the stream has begun, everything goes there; a closed connection sets `gone`."""

    def __init__(self, request: Request, keepalive: float) -> None:
        """Raises RefusedError (406) if the client accepts neither form."""
        json, self.streamable = accepts(request.headers)
        if not json and not self.streamable:
            raise RefusedError(
                406, INVALID_REQUEST, "Accept must list application/json and text/event-stream"
            )
        self.gone = False
        self.sent = 0
        """Bytes of JSON."""
        self._request = request
        self._json = json
        self._keepalive = keepalive
        self._begun = asyncio.get_running_loop().time()
        self._watch: asyncio.Task[None] | None = None

    @property
    def streaming(self) -> bool:
        return self._request.status != 0

    async def note(self, data: bytes) -> None:
        """Send a notification; a client that takes no stream does without."""
        if self.streamable and not self.gone:
            await self.begin()
            self.sent += len(data)
            await self._request.send_event(event(data))

    async def begin(self) -> None:
        """Begin the event stream, if it has not begun."""
        if not self.streaming:
            await self._request.start_stream()

    async def finish(self, body: bytes, status: int = 200) -> None:
        """Send the response, the last thing there is to say."""
        self.sent += len(body)
        if self.gone:
            return
        if not self.streaming and (self._json or status != 200):
            await self._request.respond(status, body)
            return
        await self.begin()
        await self._request.send_event(event(body))
        await self._request.end_stream()

    async def cut(self) -> None:
        """End the stream without a response."""
        if self.streaming and not self.gone:
            await self._request.end_stream()

    async def wait(self, wake: asyncio.Event, seconds: float | None = None) -> None:
        """Return once `wake` is set, the client has gone, or the time is up; keeps the stream alive."""
        if self._watch is None and asyncio.get_running_loop().time() - self._begun >= _SOON:
            self._watch = asyncio.ensure_future(self._request.disconnected())
            self._watch.add_done_callback(lambda task: self._left(task, wake))
        pause = _SOON if self._watch is None else self._keepalive
        if seconds is not None:
            pause = min(pause, seconds)
        try:
            async with asyncio.timeout(pause):
                await wake.wait()
        except TimeoutError:
            if self._watch is not None and pause == self._keepalive and self.streamable:
                await self.begin()
                await self._request.send_event(b": keep-alive\n\n")

    def _left(self, watch: asyncio.Task[None], wake: asyncio.Event) -> None:
        if not watch.cancelled() and watch.exception() is None:
            self.gone = True
            wake.set()

    def close(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
