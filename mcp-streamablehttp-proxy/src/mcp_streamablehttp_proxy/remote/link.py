"""A remote server as what a child speaks through: each line is a request of its own, or an answer."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Coroutine
from typing import Any

from .._common import jsonrpc
from .._common.jsonrpc import Kind, Message
from ..server.child import Child
from ..server.link import HearEnd, HearLine
from ..settings import RemoteServer, Server
from .connection import Connection, NoEndpointError, RemoteError, UnreachableError
from .http_sse import HttpSse
from .streamable_http import StreamableHttp, is_modern

log = logging.getLogger(__name__)

_CANCELLED = "notifications/cancelled"


class RemoteLink:
    """Speaks the transport of its entry, or finds it out (MCP 2025-11-25, Transports, "Backwards
    Compatibility"). Ends when the server cannot be reached at first, and when it has ended the session."""

    pid = 0
    memory = 0
    last_words = ""

    def __init__(self, server: Server, label: str, on_line: HearLine, on_end: HearEnd) -> None:
        assert isinstance(server, RemoteServer)
        self._server = server
        self.label = label
        self.running = False
        self.unread = 0
        self._on_line = on_line
        self._on_end = on_end
        self._heard = False
        self._requests: dict[bytes, tuple[asyncio.Task[None], bool]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._connection = Connection(self._server)
        kind = HttpSse if self._server.transport == "sse" else StreamableHttp
        self._transport: StreamableHttp | HttpSse = kind(self._connection, self._deliver, self._ended)
        self.running = True

    def write(self, line: bytes, *, at_once: bool = False) -> None:
        if not self.running:
            return
        self._log("to server", line)
        message = jsonrpc.parse(line)
        if message.method == _CANCELLED:
            request, modern = self._requests.get(bytes(message.params.get("requestId") or b""), (None, False))
            if request is not None:
                request.cancel()
            if modern:
                return  # closing the answer's stream is how 2026-07-28 says it
        task = self._background(self._carry(message))
        if message.kind is Kind.REQUEST and message.id is not None:
            self._requests[message.id] = task, is_modern(message)
            task.add_done_callback(functools.partial(self._forget, message.id))

    def _forget(self, id_: bytes, task: asyncio.Task[None]) -> None:
        # A client may use an id again, once it has the answer.
        if self._requests.get(id_, (None, False))[0] is task:
            del self._requests[id_]

    async def stop(self) -> None:
        self._ended("was closed")
        while waiting := self._tasks - {asyncio.current_task()}:
            await asyncio.wait(waiting)

    def kill(self) -> None:
        if self.running:
            asyncio.get_running_loop().call_soon(self._ended, "was closed")

    # one message

    async def _carry(self, message: Message) -> None:
        self.unread += len(message.raw)
        try:
            await self._send(message)
        except UnreachableError as problem:
            if self._heard:
                self._refuse(message, problem)
            else:
                self._ended(str(problem))
        except RemoteError as problem:
            self._refuse(message, problem)
        except Exception:
            log.exception("a message was not carried", extra={**self._tags, "method": message.method})
            self._refuse(message, RemoteError("could not be asked; the proxy's log has the reason"))
        finally:
            self.unread -= len(message.raw)

    async def _send(self, message: Message) -> None:
        try:
            await self._transport.send(message)
        except NoEndpointError:
            if message.method != "initialize" or self._server.transport is not None or self._is_sse:
                raise
            newer, older = self._transport, HttpSse(self._connection, self._deliver, self._ended)
            # At once: its answer may come by the stream, and be followed up, before the message is taken.
            self._transport = older
            try:
                await older.send(message)
            except RemoteError:
                self._transport = newer
                await older.close()
                log.debug("no HTTP+SSE either", extra=self._tags)
                raise

    @property
    def _is_sse(self) -> bool:
        return isinstance(self._transport, HttpSse)

    def _refuse(self, message: Message, problem: RemoteError) -> None:
        log.warning("remote server", extra={**self._tags, "method": message.method, "problem": str(problem)})
        if message.kind is Kind.REQUEST and self.running:
            self._on_line(message.refused(problem.code, f"server {self._server.name} {problem}").raw)

    def _deliver(self, line: bytes) -> None:
        self._heard = True
        if self.running:
            self._log("from server", line)
            self._on_line(line)

    # the end

    def _ended(self, how: str) -> None:
        if not self.running:
            return
        self.running = False
        for task in self._tasks - {_current_task()}:
            task.cancel()
        self._background(self._close())
        self._on_end(how)

    async def _close(self) -> None:
        try:
            async with asyncio.timeout(self._server.stop_timeout):
                await self._transport.close()
        except TimeoutError:
            log.debug("remote server did not end the session in time", extra=self._tags)
        finally:
            await self._connection.close()

    def _background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    @property
    def _tags(self) -> dict[str, object]:
        return {"server": self._server.name, "session": self.label}

    def _log(self, event: str, line: bytes) -> None:
        if self._server.log_bodies:
            log.info(event, extra={**self._tags, "text": line.decode("utf-8", "replace")})


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


make_remote = functools.partial(Child, link=RemoteLink)
"""Makes children that speak with a remote server."""
