"""The handshake era (2025-03-26 to 2025-11-25): sessions, the GET stream, resumption."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from contextlib import aclosing
from typing import Any

from .at_most_once import repeatable, with_repeats
from .errors import BrokenStreamError, ClientError, WrongEraError
from .http1 import Headers, Response
from .http1.response import SHORT
from .http_sse import HttpSse
from .jsonrpc import rpc_error
from .relay import Call, Relay
from .session import POST_HEADERS, Session, says_unknown
from .stream import EVENT_STREAM, read_messages
from .transport import Transport
from .which_era import refuses_the_handshake

log = logging.getLogger(__name__)

MAX_REFUSALS = 5
"""A server that has no stream of its own says 405; whoever says something else so often means it."""
MAX_RESUMPTIONS = 5
"""Attempts in a row, without a single new event, to resume a broken answer."""
LONGEST_PAUSE = 60.0
PING_SECONDS = 300.0
LISTENING_WITHIN = 1.0
"""Seconds for which the first call waits for the GET stream to be asked for."""


class HandshakeEra:
    def __init__(self, transport: Transport, relay: Relay) -> None:
        self._transport = transport
        self._relay = relay
        self._session = Session(transport)
        self._listener: asyncio.Task[None] | None = None
        self._pings: asyncio.Task[None] | None = None
        pinned = transport.settings.protocol == "sse"
        self._sse: HttpSse | None = HttpSse(transport, relay) if pinned else None

    async def send(self, call: Call) -> None:
        """Deliver a message and relay what comes back; raises ClientError."""
        method = call.message.method
        if self._sse is not None:
            await self._sse.send(call)
            return
        if method == "initialize":
            self._stop_listening()
            self._session.begin(call.message)
            call.on_answer = lambda answer, raw: self._opened(call, answer, raw)
        else:
            await self._session.ready()
        if method != "notifications/initialized":
            await with_repeats(call.message, lambda: self._exchange(call))
            return
        delivered = False
        try:
            await with_repeats(call.message, lambda: self._exchange(call))
            delivered = True
        finally:
            self._session.confirmed(call.message.raw, delivered=delivered)
            if self._session.id is not None:
                await self._start_listening()

    async def _exchange(self, call: Call) -> None:
        response, refusal = await self._post(call)
        if call.message.method == "initialize":
            self._session.adopt(response)
        if refusal is not None:
            if call.message.method != "initialize":
                await self._relay.refuse(call, response, refusal)
            elif response.status in (400, 404, 405) and (older := await self._older(refusal)) is not None:
                self._sse = older
                await older.send(call)
            elif refuses_the_handshake(response.status, rpc_error(refusal)):
                raise WrongEraError(lambda: self._relay.refuse(call, response, refusal))
            else:
                await self._relay.refuse(call, response, refusal)
            return
        self._session.remember(call.message)
        if not call.message.ids:
            await response.discard()
            return
        try:
            await self._relay.read(call, response)
        except ClientError as failure:
            if call.waiting and not call.cancelled:
                await self._resume(call, failure)

    async def _older(self, refusal: bytes) -> HttpSse | None:
        """The server by HTTP+SSE, if it speaks that (2025-11-25 transports, "Backwards Compatibility")."""
        if self._transport.settings.protocol is not None or rpc_error(refusal) is not None:
            return None
        older = HttpSse(self._transport, self._relay)
        try:
            await older.open()
        except ClientError as problem:
            log.debug("HTTP+SSE is not spoken either: %s", problem)
            return None
        return older

    async def close(self) -> None:
        self._stop_listening()
        if self._sse is not None:
            self._sse.close()
        await self._session.end()

    async def _keep_alive(self) -> None:
        """Ping in the session while its stream stands: servers end idle sessions, and one that is lost
        is found out before the next call needs it."""
        while True:
            await asyncio.sleep(PING_SECONDS)
            with contextlib.suppress(ClientError):
                await self._session.check()

    def _opened(self, call: Call, answer: Any, raw: bytes) -> bytes:
        """Raises WrongEraError for a refusal that came with 200."""
        if call.reads and isinstance(answer, dict) and isinstance(answer.get("error"), dict):
            raise WrongEraError(lambda: self._relay.pass_on(raw, call))
        self._session.opened(answer)
        return raw

    async def _post(self, call: Call) -> tuple[Response, bytes | None]:
        """The answer, with its body when it is a refusal. A message that was refused because its
        session is unknown is sent once more, in a new one."""
        generation = self._session.generation
        response = await self._post_once(call)
        if response.ok:
            return response, None
        refusal = await response.read()
        if not await self._session.lost(generation, response.status, refusal):
            return response, refusal
        await self._session.reopen(generation)
        response = await self._post_once(call)
        return response, None if response.ok else await response.read()

    async def _post_once(self, call: Call) -> Response:
        headers = POST_HEADERS + self._session.headers()
        message = call.message
        return await self._transport.request("POST", headers, message.raw, repeatable=repeatable(message))

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
                except BrokenStreamError as broken:
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
        self._pings = asyncio.create_task(self._keep_alive())
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
        had_one = False
        while (session := self._session.id) is not None:
            generation = self._session.generation
            try:
                response = await self._get(last_event_id, asked)
                if _is_stream(response):
                    had_one = True
                    async with aclosing(read_messages(response, patient=True)) as events:
                        async for event in events:
                            failures = 0
                            last_event_id = event.id if event.id is not None else last_event_id
                            retry_ms = event.retry if event.retry is not None else retry_ms
                            if event.data:
                                self._relay.deliver(event.data)
                else:
                    refusal = await response.read(SHORT)
                    if response.status in (405, 501) or (failures >= MAX_REFUSALS and not had_one):
                        log.debug("the server offers no stream of its own (%s)", response.status)
                        return
                    if says_unknown(response.status, refusal):
                        await self._session.reopen(generation)
            except BrokenStreamError:
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
            # UTF-8 (WHATWG HTML section 9.2.2), where fields of HTTP are Latin-1.
            headers.append(("Last-Event-ID", last_event_id.encode().decode("latin-1")))
        return await self._transport.request("GET", headers, repeatable=True, sent=sent)

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.cancel()
            self._listener = None
        if self._pings is not None:
            self._pings.cancel()
            self._pings = None


def _is_stream(response: Response) -> bool:
    return response.status == 200 and response.content_type == EVENT_STREAM


def _pause(retry_ms: int | None, failures: int) -> float:
    """Seconds to wait: what the server asked for, or one and then twice as long each time."""
    if retry_ms is not None and failures < 2:
        return min(retry_ms / 1000, LONGEST_PAUSE)
    return min(2.0**failures, LONGEST_PAUSE)
