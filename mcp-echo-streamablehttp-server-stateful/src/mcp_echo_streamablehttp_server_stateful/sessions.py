"""Sessions of the handshake era that outlive the process that opened them.

A client knows an id of ours. Behind it stands a session of the SDK, in this process, which is opened anew
from the stored `initialize` wherever there is none: after a restart, at a second replica, after it was put
away.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from mcp_echo_streamablehttp_server_stateless._common.refusal import refuse
from mcp_echo_streamablehttp_server_stateless._common.request_header import header
from mcp_echo_streamablehttp_server_stateless.identity import Identity
from mcp_types import INVALID_PARAMS, InitializeRequestParams
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from prometheus_client import CollectorRegistry, Gauge
from pydantic import ValidationError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from . import events
from .entry import Entry, key_of, new_id
from .store import StateFullError, StateUnavailableError, Store

logger = logging.getLogger(__name__)

HELLO_BYTES = 16_384
"""Of a client's `initialize`, as it is kept."""
RETRY_AFTER = 30
"""Seconds after which room is likelier."""
_SESSION_ID = b"mcp-session-id"


class NoRoomError(Exception):
    """Every session that is open in this process has a request under way."""


class Live:
    """A session of the SDK in this process: its id there, and how many requests are under way in it."""

    def __init__(self, id_: str) -> None:
        self.id = id_
        self.requests = 0


class Sessions:
    """404 for a session that is not there, or not this user's; 503 with `Retry-After` when there is no room.

    `app` is the SDK's server with what surrounds it. The user alone counts, not the client: registering
    again must not lose a session.
    """

    def __init__(
        self,
        app: ASGIApp,
        store: Store,
        *,
        trust_identity: bool,
        idle: float,
        per_user: int,
        limit: int,
        max_body: int,
    ) -> None:
        self.app = app
        self.store = store
        self.trust_identity = trust_identity
        self.idle = idle
        self.per_user = per_user if trust_identity else None
        self.limit = limit
        self.max_body = max_body
        self._live: OrderedDict[str, Live] = OrderedDict()
        self._reviving: dict[str, asyncio.Task[Live]] = {}

    def count_in(self, registry: CollectorRegistry) -> None:
        """Put what /metrics tells of them into a registry."""
        here = Gauge("mcp_sessions", "Sessions open in this process", registry=registry)
        here.set_function(lambda: len(self._live))
        limit = Gauge("mcp_sessions_limit", "Sessions that may be open", registry=registry)
        limit.set(self.limit)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        version = header(scope, b"mcp-protocol-version")
        if version is not None and version not in HANDSHAKE_PROTOCOL_VERSIONS:
            await self.app(scope, receive, send)
            return
        try:
            await self._handshake(scope, receive, send)
        except StateUnavailableError:
            logger.exception("The state cannot be reached")
            await _no_room(send, "The state of this server cannot be reached at the moment; try again.")
        except NoRoomError:
            await _no_room(send, "Too many sessions are at work; try again later.")

    async def _handshake(self, scope: Scope, receive: Receive, send: Send) -> None:
        id_ = header(scope, _SESSION_ID)
        if id_ is not None:
            await self._use(id_, scope, receive, send)
            return
        messages = await _read(receive, self.max_body) if scope["method"] == "POST" else []
        request = _initialize(messages)
        if request is None:
            await self.app(scope, _again(messages, receive), send)
            return
        hello = json.dumps(request.get("params", {}))
        if not _is_hello(hello):
            await _refuse_hello(send, request.get("id"))
        elif len(hello) > HELLO_BYTES:
            await refuse(send, 400, f"An initialize has at most {HELLO_BYTES} bytes here.")
        else:
            await self._open(hello, scope, _again(messages, receive), send)

    async def _open(self, hello: str, scope: Scope, receive: Receive, send: Send) -> None:
        id_, now = new_id(), time.time()
        key = key_of("session", id_)
        entry = Entry(key, "session", self._user(scope), now, now, hello=hello)
        await self._make_room()
        try:
            for evicted in await self.store.open(entry, self.per_user, self.limit):
                await self._close(evicted)
        except StateFullError:
            await _no_room(send, "Too many open sessions; try again later.")
            return
        opened = False

        async def answer(message: Message) -> None:
            nonlocal opened
            if message["type"] == "http.response.start":
                inner = _found(message["headers"])
                opened = message["status"] == 200 and inner is not None
                if opened and inner is not None:
                    self._live[key] = Live(inner)
                    message = {**message, "headers": _with_id(message["headers"], id_)}
            await send(message)

        try:
            await self._ask(key, _seen(scope, id_), receive, answer)
        finally:
            if not opened:
                await self.store.delete(key)

    async def _use(self, id_: str, scope: Scope, receive: Receive, send: Send) -> None:
        key = key_of("session", id_)
        entry = await self.store.find(key)
        if entry is None or entry.owner != self._user(scope):
            await refuse(send, 404, "Session not found; open another with initialize.")
            return
        if scope["method"] == "DELETE":
            await self.store.delete(key)
            await self._close(key)
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})
            return
        if time.time() - entry.used_at > self.idle / 20:
            await self.store.renew(key)
        messages = await _read(receive, self.max_body) if scope["method"] == "POST" else []
        if not await self._at(key, entry, id_, scope, _again(messages, receive), send):
            # The SDK has put its session away in the meantime, and has not looked at the message.
            self._live.pop(key, None)
            await self._at(key, entry, id_, scope, _again(messages, receive), send, last=True)

    async def _at(
        self,
        key: str,
        entry: Entry,
        id_: str,
        scope: Scope,
        receive: Receive,
        send: Send,
        last: bool = False,
    ) -> bool:
        """False, and nothing answered, when the SDK knows its session no longer."""
        live = await self._living(key, entry)
        gone = False

        async def answer(message: Message) -> None:
            nonlocal gone
            if message["type"] == "http.response.start":
                gone = message["status"] == 404 and not last
                if _found(message["headers"]) is not None:
                    message = {**message, "headers": _with_id(message["headers"], id_)}
            if not gone:
                await send(message)

        live.requests += 1
        try:
            headers = _with_id(scope["headers"], live.id)
            await self._ask(key, {**_seen(scope, id_), "headers": headers}, receive, answer)
        finally:
            live.requests -= 1
        return not gone

    async def _living(self, key: str, entry: Entry) -> Live:
        live = self._live.get(key)
        if live is not None:
            self._live.move_to_end(key)
            return live
        task = self._reviving.get(key)
        if task is None:
            task = self._reviving[key] = asyncio.create_task(self._revive(key, entry))
            task.add_done_callback(lambda _: self._reviving.pop(key, None))
        return await asyncio.shield(task)

    async def _revive(self, key: str, entry: Entry) -> Live:
        """Open a session of the SDK with the client's own `initialize`."""
        await self._make_room()
        hello = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": json.loads(entry.hello)}
        inner = await self._post(key, hello)
        if inner is None:
            raise RuntimeError("the SDK does not take an initialize that it took before")
        live = self._live[key] = Live(inner)
        await self._post(key, {"jsonrpc": "2.0", "method": "notifications/initialized"}, inner)
        return live

    async def _make_room(self) -> None:
        """Put away the session that is unused for longest; it is opened again when its client comes."""
        while len(self._live) >= self.limit:
            key = next((key for key, live in self._live.items() if not live.requests), None)
            if key is None:
                raise NoRoomError
            await self._close(key)

    async def _close(self, key: str) -> None:
        live = self._live.pop(key, None)
        if live is not None:
            await self._send(key, "DELETE", b"", live.id)

    async def _post(self, key: str, message: dict[str, Any], inner: str | None = None) -> str | None:
        return await self._send(key, "POST", json.dumps(message).encode(), inner)

    async def _send(self, key: str, method: str, body: bytes, inner: str | None) -> str | None:
        """A request of our own to the SDK; the answer is the session id in its answer."""
        headers = [
            (b"content-type", b"application/json"),
            (b"accept", b"application/json, text/event-stream"),
        ]
        if inner is not None:
            headers.append((_SESSION_ID, inner.encode()))
        scope: Scope = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": "/mcp",
            "raw_path": b"/mcp",
            "query_string": b"",
            "root_path": "",
            "headers": headers,
            "client": None,
            "server": None,
        }
        found = None

        async def answer(message: Message) -> None:
            nonlocal found
            if message["type"] == "http.response.start" and message["status"] < 300:
                found = _found(message["headers"])

        await self._ask(key, scope, _again([{"type": "http.request", "body": body}], _never), answer)
        return found

    async def _ask(self, key: str, scope: Scope, receive: Receive, send: Send) -> None:
        token = events.session.set(key)
        try:
            await self.app(scope, receive, send)
        finally:
            events.session.reset(token)

    def _user(self, scope: Scope) -> str:
        return (Identity.from_headers(scope["headers"]).user_id or "") if self.trust_identity else ""

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """While this is entered, a session with a request under way, as a standing stream is, is not idle."""

        async def renew() -> None:
            while True:
                await asyncio.sleep(max(1.0, self.idle / 4))
                for key in [key for key, live in self._live.items() if live.requests]:
                    with suppress(StateUnavailableError):
                        await self.store.renew(key)

        task = asyncio.create_task(renew())
        try:
            yield
        finally:
            task.cancel()


def _initialize(messages: list[Message]) -> dict[str, Any] | None:
    """The message if it is an `initialize`."""
    try:
        message = json.loads(b"".join(part.get("body", b"") for part in messages))
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) and message.get("method") == "initialize" else None


def _is_hello(params: str) -> bool:
    # The SDK answers wrong ones with 200 and keeps the session, which nobody could use.
    try:
        InitializeRequestParams.model_validate_json(params)
    except ValidationError:
        return False
    return True


async def _refuse_hello(send: Send, id_: Any) -> None:
    sentence = "initialize needs protocolVersion, capabilities and clientInfo with name and version."
    await refuse(send, 400, sentence, code=INVALID_PARAMS, id_=id_)


async def _read(receive: Receive, limit: int) -> list[Message]:
    """A body of at most `limit` bytes; of a longer one the beginning, for the SDK to refuse."""
    messages, size = [await receive()], 0
    while messages[-1].get("more_body", False) and size <= limit:
        size += len(messages[-1].get("body", b""))
        messages.append(await receive())
    return messages


def _again(messages: list[Message], receive: Receive) -> Receive:
    left = messages[::-1]

    async def next_one() -> Message:
        return left.pop() if left else await receive()

    return next_one


async def _never() -> Message:
    await asyncio.Event().wait()
    return {"type": "http.disconnect"}


async def _no_room(send: Send, sentence: str) -> None:
    await refuse(send, 503, sentence, [(b"retry-after", str(RETRY_AFTER).encode())])


def _seen(scope: Scope, id_: str) -> Scope:
    """What tools are told: the id that the client knows."""
    return {**scope, "state": {**scope.get("state", {}), "session_id": id_}}


def _found(headers: list[tuple[bytes, bytes]]) -> str | None:
    return next((value.decode("latin-1") for key, value in headers if key.lower() == _SESSION_ID), None)


def _with_id(headers: list[tuple[bytes, bytes]], id_: str) -> list[tuple[bytes, bytes]]:
    return [*(pair for pair in headers if pair[0].lower() != _SESSION_ID), (_SESSION_ID, id_.encode())]
