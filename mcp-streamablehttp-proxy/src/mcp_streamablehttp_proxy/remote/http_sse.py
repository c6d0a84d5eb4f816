"""HTTP+SSE towards a remote server of 2024-11-05: one stream for all that it says, POSTs beside it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing

import httpx

from .._common.event_stream import Event
from .._common.jsonrpc import Kind, Message
from .connection import EVENT_STREAM, Connection, NoEndpointError, RemoteError, media_type
from .streamable_http import INTRODUCTION, is_modern

log = logging.getLogger(__name__)

_ENDPOINT = 20.0
"""Seconds for the server to name its address for POSTs."""


class HttpSse:
    """`deliver` gets every message of the server; `lost` is called when its stream ends, and the session
    with it."""

    def __init__(
        self, connection: Connection, deliver: Callable[[bytes], None], lost: Callable[[str], None]
    ) -> None:
        self._connection = connection
        self._deliver = deliver
        self._lost = lost
        self._endpoint: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._reader: asyncio.Task[None] | None = None
        # Fair: what is sent after `initialize` or `notifications/initialized` waits until that was taken, for
        # another connection may be the faster one; but not answers, which the server may wait for before.
        self._introduction = asyncio.Lock()

    async def send(self, message: Message) -> None:
        """Return once the server has taken the message; its answer comes by the stream. Raises
        RemoteError."""
        if is_modern(message):
            raise NoEndpointError("speaks HTTP+SSE of 2024-11-05, which knows no such request")
        if self._reader is None:
            self._reader = asyncio.create_task(self._read())
        try:
            async with asyncio.timeout(_ENDPOINT):
                url = await asyncio.shield(self._endpoint)
        except TimeoutError as late:
            raise RemoteError("does not say where its stream of events wants messages sent") from late
        if message.method in INTRODUCTION:
            async with self._introduction:
                await self._post(message, url)
            return
        if message.kind is not Kind.RESPONSE:
            async with self._introduction:
                pass
        await self._post(message, url)

    async def _post(self, message: Message, url: str) -> None:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        async with self._connection.exchange("POST", headers, message.raw, url) as response:
            if response.status_code < 300:
                return
            said = await self._connection.refusal(response)
        if isinstance(said, RemoteError):
            raise said
        if message.id is not None:
            self._deliver(said.with_id(message.id))

    async def close(self) -> None:
        if self._reader is not None:
            self._reader.cancel()

    async def _read(self) -> None:
        try:
            async with self._connection.exchange("GET", {"Accept": EVENT_STREAM}) as response:
                if response.status_code != 200 or media_type(response) != EVENT_STREAM:
                    said = await self._connection.refusal(response)
                    raise (
                        said
                        if isinstance(said, RemoteError)
                        else NoEndpointError("has no stream of events there")
                    )
                async with aclosing(self._connection.events(response)) as events:
                    async for event in events:
                        self._take(event, response.url)
            reason = "closed its stream of events"
        except RemoteError as problem:
            if not self._endpoint.done():
                self._endpoint.set_exception(problem)
                self._endpoint.exception()  # whoever waits is told; nobody has to
                return
            reason = str(problem)
        if not self._endpoint.done():
            self._endpoint.set_exception(RemoteError(reason))
            self._endpoint.exception()
        self._lost(reason)

    def _take(self, event: Event, base: httpx.URL) -> None:
        if event.type == "endpoint":
            if not self._endpoint.done():
                try:
                    url = base.join(event.data.decode("utf-8", "replace").strip())
                except (httpx.InvalidURL, ValueError) as why:
                    raise RemoteError("wants its messages sent to what is no address") from why
                if (url.scheme, url.host, url.port) != (base.scheme, base.host, base.port):
                    raise RemoteError(
                        "wants its messages sent to another host, where credentials must not go"
                    )
                self._endpoint.set_result(str(url))
        elif event.type == "message" and event.data:
            self._deliver(event.data)
