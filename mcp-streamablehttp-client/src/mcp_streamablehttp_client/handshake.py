"""The handshake era (2025-03-26 to 2025-11-25): sessions, the GET stream, resumption."""

import asyncio
import logging
from contextlib import aclosing
from typing import Any

from .errors import BrokenStream, ClientError
from .http1 import Headers, Response
from .relay import Call, Relay
from .session import POST_HEADERS, Session
from .stream import EVENT_STREAM, read_messages
from .transport import Transport

log = logging.getLogger(__name__)

MAX_RESUMPTIONS = 5
"""Attempts in a row, without a single new event, to resume a broken answer."""
LONGEST_PAUSE = 60.0
LISTENING_WITHIN = 1.0
"""Seconds for which the first call waits for the GET stream to be asked for."""


class HandshakeEra:
    def __init__(self, transport: Transport, relay: Relay) -> None:
        self._transport = transport
        self._relay = relay
        self._session = Session(transport)
        self._listener: asyncio.Task[None] | None = None

    async def send(self, call: Call) -> None:
        """Deliver a message and relay what comes back; raises ClientError."""
        method = call.message.method
        if method == "initialize":
            self._stop_listening()
            self._session.begin(call.message)
            call.on_answer = self._opened
        response = await self._post(call)
        if method == "initialize":
            self._session.adopt(response)
        if not 200 <= response.status < 300:
            await self._relay.refuse(call, response, await response.read())
        elif not call.message.ids:
            await response.discard()
        else:
            try:
                await self._relay.read(call, response)
            except ClientError as failure:
                if call.waiting and not call.cancelled:
                    await self._resume(call, failure)
        if method == "notifications/initialized":
            self._session.confirmed(call.message.raw)
            if self._session.id is not None:
                await self._start_listening()

    async def close(self) -> None:
        self._stop_listening()
        await self._session.end()

    def _opened(self, answer: Any, raw: bytes) -> bytes:
        self._session.opened(answer)
        return raw

    async def _post(self, call: Call) -> Response:
        session = self._session.id
        response = await self._transport.request(
            "POST", POST_HEADERS + self._session.headers(), call.message.raw
        )
        if response.status != 404 or session is None:
            return response
        await response.discard()
        if not await self._session.reopen(session):
            raise ClientError("The server has forgotten the session and opens no new one.")
        return await self._transport.request("POST", POST_HEADERS + self._session.headers(), call.message.raw)

    async def _resume(self, call: Call, failure: ClientError) -> None:
        """SEP-1699: fetch the rest of an answer with GET and Last-Event-ID."""
        attempts = 0
        call.resuming = True
        try:
            while call.waiting and not call.cancelled:
                before = call.last_event_id
                if before is None or attempts == MAX_RESUMPTIONS:
                    raise failure
                await asyncio.sleep(_pause(call.retry_ms, attempts))
                attempts += 1
                try:
                    response = await self._get(before)
                    if not _is_stream(response):
                        await response.discard()
                        raise failure
                    await self._relay.read(call, response)
                except BrokenStream as broken:
                    failure = broken
                if call.last_event_id != before:
                    attempts = 0
        except asyncio.CancelledError:
            if call.waiting:
                raise

    async def _start_listening(self) -> None:
        """Ask for the GET stream before any call: asked for later, it could be taken for the resumption of a
        call's stream that the server has just closed, and get its events too early."""
        asked = asyncio.Event()
        self._listener = asyncio.create_task(self._listen(asked))
        waiting = asyncio.create_task(asked.wait())
        try:
            await asyncio.wait(
                {self._listener, waiting}, timeout=LISTENING_WITHIN, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            waiting.cancel()

    async def _listen(self, asked: asyncio.Event) -> None:
        """The server's own stream: requests and notifications that belong to no call."""
        last_event_id: str | None = None
        retry_ms: int | None = None
        failures = 0
        while (session := self._session.id) is not None:
            try:
                response = await self._get(last_event_id, asked)
                if response.status == 404 and failures == 0:
                    await response.discard()
                    last_event_id = None
                    if not await self._session.reopen(session):
                        return
                elif _is_stream(response):
                    async with aclosing(read_messages(response, patient=True)) as events:
                        async for event in events:
                            failures = 0
                            last_event_id = event.id if event.id is not None else last_event_id
                            retry_ms = event.retry if event.retry is not None else retry_ms
                            if event.data:
                                self._relay.deliver(event.data)
                else:
                    await response.discard()
                    if response.status not in (409, 429) and response.status < 500:
                        log.debug("the server offers no stream of its own (%s)", response.status)
                        return
            except BrokenStream:
                log.debug("the server's stream ended")
            except ClientError as error:
                log.info("%s", error)
            if session != self._session.id:
                last_event_id = None
            await asyncio.sleep(_pause(retry_ms, failures))
            failures += 1

    async def _get(self, last_event_id: str | None, sent: asyncio.Event | None = None) -> Response:
        headers: Headers = [("Accept", EVENT_STREAM), *self._session.headers()]
        if last_event_id is not None:
            headers.append(("Last-Event-ID", last_event_id))
        return await self._transport.request("GET", headers, sent=sent)

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.cancel()
            self._listener = None


def _is_stream(response: Response) -> bool:
    return response.status == 200 and response.content_type == EVENT_STREAM


def _pause(retry_ms: int | None, failures: int) -> float:
    """Seconds to wait: what the server asked for, or one and then twice as long each time."""
    if retry_ms is not None and failures < 2:
        return min(retry_ms / 1000, LONGEST_PAUSE)
    return min(2.0**failures, LONGEST_PAUSE)
