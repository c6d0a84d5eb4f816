"""The HTTP+SSE transport of 2024-11-05: one stream for everything the server says, POSTs beside it.

The server names the address for the POSTs in its first event. When the stream ends the session is
over: the next message opens a new one with the host's own handshake.
"""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any
from urllib.parse import urljoin

from ._common.event_stream import Event, EventParser
from .at_most_once import repeatable, with_repeats
from .errors import BrokenStreamError, ClientError, OutcomeUnknownError
from .http1 import Headers, Target
from .jsonrpc import Message, answered_ids, encode
from .relay import Call, Relay
from .settings import MAX_MESSAGE_BYTES
from .stream import EVENT_STREAM, events_in
from .transport import Transport

log = logging.getLogger(__name__)

ENDPOINT_SECONDS = 20.0
"""How long the server may take to name its address for POSTs."""
_POST: Headers = [("Content-Type", "application/json"), ("Accept", "application/json")]


class HttpSse:
    def __init__(self, transport: Transport, relay: Relay) -> None:
        self._transport = transport
        self._relay = relay
        self._endpoint: asyncio.Future[Target] | None = None
        self._reader: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()
        self._waiting: set[asyncio.Event] = set()
        self._heard = 0.0
        self._initialize: Message | None = None
        self._initialized: bytes | None = None
        self._own: tuple[str, asyncio.Future[Any]] | None = None

    async def send(self, call: Call) -> None:
        """Deliver a message and wait for its answer; raises ClientError."""
        method = call.message.method
        if method == "initialize":
            self.close()
            self._initialize, self._initialized = call.message, None
        await with_repeats(call.message, lambda: self._exchange(call))
        if method == "notifications/initialized":
            self._initialized = call.message.raw

    def close(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
        self._reader = self._endpoint = None

    async def open(self) -> None:
        """Raises ClientError when there is no such server at this address."""
        self.close()
        response = await self._transport.request("GET", [("Accept", EVENT_STREAM)], repeatable=True)
        if response.status != 200 or response.content_type != EVENT_STREAM:
            await response.discard()
            raise ClientError(f"There is no MCP server at this address ({response.status}).")
        self._endpoint = endpoint = asyncio.get_running_loop().create_future()
        self._reader = asyncio.create_task(self._read(response.chunks(patient=True), endpoint))
        try:
            async with asyncio.timeout(ENDPOINT_SECONDS):
                await asyncio.shield(endpoint)
        except TimeoutError as error:
            self.close()
            raise ClientError("The server's stream of events does not say where to send messages.") from error

    async def _exchange(self, call: Call) -> None:
        endpoint = await self._connected(call.message)
        done = asyncio.Event()
        heard = call.on_answer

        def answered(value: Any, raw: bytes) -> bytes:
            if call.waiting.issubset(answered_ids(value)):
                done.set()
            return heard(value, raw) if heard is not None else raw

        call.on_answer = answered
        self._waiting.add(done)
        try:
            response = await self._transport.request(
                "POST", _POST, call.message.raw, target=endpoint, repeatable=repeatable(call.message)
            )
            if not response.ok:
                await self._relay.refuse(call, response, await response.read())
                return
            await response.discard()
            if call.waiting:
                await self._answer(done)
            if call.waiting and not call.cancelled:
                raise OutcomeUnknownError("The server's stream ended before the answer")
        finally:
            self._waiting.discard(done)
            call.on_answer = heard

    async def _answer(self, done: asyncio.Event) -> None:
        """Wait until the call is answered or the stream is over; silence has its limit."""
        silence = self._transport.settings.timeout
        loop = asyncio.get_running_loop()
        self._heard = loop.time()
        while True:
            try:
                async with asyncio.timeout_at(self._heard + silence):
                    await done.wait()
                return
            except TimeoutError as error:
                if loop.time() - self._heard >= silence:
                    raise OutcomeUnknownError(f"The server sent nothing for {silence:g} s") from error

    async def _connected(self, message: Message) -> Target:
        """Where to send; opens the stream when there is none, and a session for what needs one."""
        async with self._opening:
            if self._endpoint is None or (self._reader is not None and self._reader.done()):
                await self.open()
                if message.method != "initialize" and self._initialize is not None:
                    await self._shake_hands(self._initialize)
            assert self._endpoint is not None
            return await asyncio.shield(self._endpoint)

    async def _shake_hands(self, initialize: Message) -> None:
        log.info("the server's stream had ended; opening a new session")
        identifier = "mcp-streamablehttp-client:again"
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._own = identifier, answer
        assert self._endpoint is not None
        target = await self._endpoint
        told = [encode({**initialize.value, "id": identifier})]
        for message in (*told, *([self._initialized] if self._initialized else [])):
            response = await self._transport.request("POST", _POST, message, target=target, repeatable=True)
            await response.discard()
            try:
                async with asyncio.timeout(self._transport.settings.timeout):
                    refused = not response.ok or "result" not in await asyncio.shield(answer)
            except TimeoutError:
                refused = True
            if refused:
                self.close()
                raise ClientError("The server has ended the session and opens no new one; try again.")

    async def _read(self, chunks: Any, endpoint: asyncio.Future[Target]) -> None:
        parser = EventParser(MAX_MESSAGE_BYTES)
        try:
            async for chunk in chunks:
                self._heard = asyncio.get_running_loop().time()
                for event in events_in(chunk, parser):
                    self._take(event, endpoint)
        except BrokenStreamError as end:
            log.debug("%s", end)
        except ClientError as problem:
            if not endpoint.done():
                endpoint.set_exception(problem)
            log.warning("%s", problem)
        finally:
            await chunks.aclose()
            if not endpoint.done():
                endpoint.set_exception(ClientError("The server's stream of events ended at once."))
                endpoint.exception()  # whoever still waits is told; nobody has to
            for waiting in self._waiting:
                waiting.set()

    def _take(self, event: Event, endpoint: asyncio.Future[Target]) -> None:
        if event.type == "endpoint":
            if not endpoint.done():
                endpoint.set_result(self._same_origin(event.data.decode(errors="replace").strip()))
        elif event.type == "message" and event.data:
            if self._own is not None and self._own[0].encode() in event.data:
                identifier, answer = self._own
                value = json.loads(event.data)
                if identifier in answered_ids(value) and not answer.done():
                    answer.set_result(value)
                return
            self._relay.deliver(event.data)

    def _same_origin(self, address: str) -> Target:
        base = Target(self._transport.settings.server_url)
        target = Target(urljoin(base.url, address))
        if target.origin != base.origin:
            raise ClientError(
                "The server wants its messages sent to another host, where credentials must not go."
            )
        return target
