"""Streamable HTTP towards a remote server, in both eras (MCP 2025-11-25 and 2026-07-28, Transports)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from contextlib import aclosing

import httpx
from msgspec import Raw

from .._common import jsonrpc
from .._common.envelope import PROTOCOL_VERSION
from .._common.error_codes import HEADER_MISMATCH
from .._common.event_stream import Event
from .._common.jsonrpc import Kind, Message
from .._common.mirror import Mirror
from .connection import (
    EVENT_STREAM,
    Connection,
    ConnectionBrokenError,
    RemoteError,
    UnreachableError,
    media_type,
)

log = logging.getLogger(__name__)

_POST = {"Content-Type": "application/json", "Accept": f"application/json, {EVENT_STREAM}"}
_STREAM_WITHIN = 1.0
"""Seconds that the first requests wait for the session's own stream: what a server asks before it is open,
many lose."""
_RESUMPTIONS = 5
_LONGEST_PAUSE = 30.0
_PAGES = 100
INTRODUCTION = frozenset({"initialize", "notifications/initialized"})
"""Methods that a server must have taken before it is sent another."""
_PASSING = frozenset({429, 502, 503, 504})
"""Statuses of a server that is busy or starts again; it may have a stream all the same."""


def is_modern(message: Message) -> bool:
    """Whether a message carries its version itself; else it belongs to a session."""
    return message.kind is Kind.REQUEST and PROTOCOL_VERSION in message.meta


class StreamableHttp:
    """`deliver` gets every message of the server; `lost` is called when it has ended the session."""

    def __init__(
        self, connection: Connection, deliver: Callable[[bytes], None], lost: Callable[[str], None]
    ) -> None:
        self._connection = connection
        self._deliver = deliver
        self._lost = lost
        self._session: str | None = None
        self._version: str | None = None
        # Fair: what is sent after `initialize` or `notifications/initialized` waits until that was taken,
        # but for answers: a server may ask (`ping`) before it answers `initialize` itself.
        self._introduction = asyncio.Lock()
        self._listener: asyncio.Task[None] | None = None
        self._listening = asyncio.Event()
        self._mirror = Mirror()

    async def send(self, message: Message) -> None:
        """Return once the message is taken, a request answered. Raises RemoteError."""
        if is_modern(message):
            await self._send_modern(message)
        elif message.method == "initialize":
            async with self._introduction:
                await self._post(message, {}, greeting=True)
        elif message.method == "notifications/initialized":
            async with self._introduction:
                await self._post(message, self._of_session())
                self._listener = self._listener or asyncio.create_task(self._listen())
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_STREAM_WITHIN):
                        await self._listening.wait()
        else:
            if message.kind is not Kind.RESPONSE:
                async with self._introduction:
                    pass
            await self._post(message, self._of_session())

    async def close(self) -> None:
        """End the session at the server (DELETE)."""
        if self._listener is not None:
            self._listener.cancel()
        headers, session, self._session = self._of_session(), self._session, None
        if session is not None:
            with contextlib.suppress(RemoteError):
                async with self._connection.exchange("DELETE", headers):
                    pass

    def _of_session(self) -> dict[str, str]:
        return {
            **({"Mcp-Session-Id": self._session} if self._session is not None else {}),
            **({"MCP-Protocol-Version": self._version} if self._version is not None else {}),
        }

    # one request

    async def _post(self, message: Message, headers: dict[str, str], *, greeting: bool = False) -> None:
        last = Event(b"")
        async with self._connection.exchange("POST", {**_POST, **headers}, message.raw) as response:
            if response.status_code >= 300:
                await self._refused(message, response)
                return
            if greeting:
                self._session = response.headers.get("mcp-session-id")
            if message.kind is not Kind.REQUEST:
                return
            resumable = media_type(response) == EVENT_STREAM
            with contextlib.suppress(ConnectionBrokenError) if resumable else contextlib.nullcontext():
                async with aclosing(self._connection.events(response)) as events:
                    async for event in events:
                        last = _after(last, event)
                        if self._heard(event, message):
                            return
        await self._resume(last, message)

    async def _resume(self, last: Event, message: Message) -> None:
        """Ask for the rest of a stream that ended before the answer, if its events can be named."""
        for _ in range(_RESUMPTIONS):
            if last.id is None:
                break
            await asyncio.sleep(min((last.retry or 1000) / 1000, _LONGEST_PAUSE))
            headers = {"Accept": EVENT_STREAM, "Last-Event-ID": last.id, **self._of_session()}
            with contextlib.suppress(ConnectionBrokenError, UnreachableError):
                async with self._connection.exchange("GET", headers) as response:
                    if response.status_code != 200 or media_type(response) != EVENT_STREAM:
                        break
                    async with aclosing(self._connection.events(response)) as events:
                        async for event in events:
                            last = _after(last, event)
                            if self._heard(event, message):
                                return
        raise RemoteError(
            "ended its stream before the answer: whether it acted on the request is not known; "
            "it was not sent again"
        )

    def _heard(self, event: Event, request: Message) -> bool:
        """Pass a message on; whether it is the answer to the request."""
        if event.type != "message" or not event.data:
            return False
        answer = _answer_in(event.data, request)
        if answer is not None and answer.result is not None:
            self._learn(request, answer.result)
        self._deliver(event.data)
        return answer is not None

    def _learn(self, request: Message, result: Raw) -> None:
        if request.method == "initialize":
            version = jsonrpc.object_members(result).get("protocolVersion")
            said = None if version is None else jsonrpc.decode(version)
            self._version = said if isinstance(said, str) else None
        elif request.method == "tools/list" and is_modern(request):
            self._mirror.learn(jsonrpc.decode(result))

    async def _refused(self, message: Message, response: httpx.Response) -> None:
        """Pass the refusal on as the answer. Raises RemoteError where the server gave none of its own."""
        said = await self._connection.refusal(response)
        if self._session is not None and _session_unknown(response.status_code, said):
            self._session = None
            self._lost("has ended the session")
        if isinstance(said, RemoteError):
            raise said
        if message.id is not None:
            self._deliver(said.with_id(message.id))
        else:
            log.info(
                "remote server refused a message",
                extra={"server": self._connection.server.name, "status": response.status_code},
            )

    # 2026-07-28

    async def _send_modern(self, message: Message, *, again: bool = False) -> None:
        params = jsonrpc.decode(message.members.get("params", b"{}"))
        version = jsonrpc.decode(message.meta[PROTOCOL_VERSION])
        headers = {**_POST, "MCP-Protocol-Version": str(version)}
        headers.update(self._mirror.headers(message.method, params if isinstance(params, dict) else {}))
        async with self._connection.exchange("POST", headers, message.raw) as response:
            if response.status_code < 300:
                async with aclosing(self._connection.events(response)) as events:
                    async for event in events:
                        if self._heard(event, message):
                            return
                raise RemoteError("ended its stream before the answer; the request was not sent again")
            said = await self._connection.refusal(response)
        if isinstance(said, RemoteError):
            raise said
        if message.method == "tools/call" and not again and _code(said) == HEADER_MISMATCH:
            # Refused, so not executed: its annotations are not known here (any more).
            await self._list_tools(message)
            await self._send_modern(message, again=True)
            return
        self._deliver(said.with_id(message.id or b"null"))

    async def _list_tools(self, like: Message) -> None:
        """Learn the annotations of all tools, in the name of a request."""
        params: dict[str, object] = {"_meta": dict(like.meta)}
        for _ in range(_PAGES):
            request = Message.request("tools/list", params)
            headers = {**_POST, "MCP-Protocol-Version": str(jsonrpc.decode(like.meta[PROTOCOL_VERSION]))}
            headers.update(self._mirror.headers("tools/list", {}))
            result = None
            async with self._connection.exchange("POST", headers, request.raw) as response:
                if response.status_code < 300:
                    async with aclosing(self._connection.events(response)) as events:
                        async for event in events:
                            if (answer := _answer_in(event.data, request)) is not None:
                                result = answer.result
                                break
            if result is None:
                return
            self._mirror.learn(jsonrpc.decode(result))
            cursor = jsonrpc.object_members(result).get("nextCursor")
            if cursor is None:
                return
            params["cursor"] = cursor

    # what belongs to no request

    async def _listen(self) -> None:
        """The session's own stream, opened again whenever it ends; many servers have none."""
        last, failures = Event(b""), 0
        while True:
            headers = {"Accept": EVENT_STREAM, **self._of_session()}
            if last.id is not None:
                headers["Last-Event-ID"] = last.id
            try:
                async with self._connection.exchange("GET", headers) as response:
                    self._listening.set()
                    if response.status_code == 404 and self._session is not None:
                        self._session = None
                        self._lost("has ended the session")
                        return
                    is_stream = response.status_code < 400 and media_type(response) == EVENT_STREAM
                    if not is_stream and response.status_code not in _PASSING:
                        return
                    if is_stream:
                        async with aclosing(self._connection.events(response)) as events:
                            async for event in events:
                                failures, last = 0, _after(last, event)
                                if event.type == "message" and event.data:
                                    self._deliver(event.data)
            except RemoteError as problem:
                self._listening.set()
                log.debug("stream of a remote server ended", extra={"reason": str(problem)})
            pause = (last.retry or 1000) / 1000 * 2.0 ** min(failures, 5)
            failures += 1
            await asyncio.sleep(min(pause, _LONGEST_PAUSE))


def _after(last: Event, event: Event) -> Event:
    """Where a stream stands after an event: the newest id and pause that were said."""
    return Event(b"", id=last.id if event.id is None else event.id, retry=event.retry or last.retry)


def _session_unknown(status: int, said: Message | RemoteError) -> bool:
    """404 by the specification; servers on the older SDKs say 400 and name the session."""
    if status == 404:
        return True
    text = str(said) if isinstance(said, RemoteError) else bytes(said.error or b"").decode("utf-8", "replace")
    return status == 400 and "session" in text.lower()


def _answer_in(data: bytes, request: Message) -> Message | None:
    """The answer to a request; servers of 2025-03-26 may send it in a batch, beside other messages."""
    try:
        batch = jsonrpc.split_batch(data) if data.lstrip(b" \t\r\n")[:1] == b"[" else [data]
        messages = [jsonrpc.parse(item) for item in batch]
    except jsonrpc.MessageError:
        return None  # the child that it is delivered to says what is wrong with it
    return next((one for one in messages if one.kind is Kind.RESPONSE and one.id == request.id), None)


def _code(refusal: Message) -> object:
    raw = jsonrpc.object_members(refusal.error).get("code")
    return None if raw is None else jsonrpc.decode(raw)
