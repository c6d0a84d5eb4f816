"""Which requests await an answer, and the way of answers to the host."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

from ._common.error_codes import INTERNAL_ERROR
from .errors import BrokenStreamError, ClientError
from .host import Output
from .http1 import Response
from .jsonrpc import Id, Message, answered_ids, encode, error, one_line, rpc_error
from .stream import read_messages

log = logging.getLogger(__name__)


class Call:
    """A message of the host that is on its way; `waiting` holds the ids still unanswered."""

    def __init__(self, message: Message) -> None:
        self.message = message
        self.waiting: set[Id] = set(message.ids)
        self.cancelled = False
        self.resuming = False
        self.task: asyncio.Task[None] | None = None
        self.last_event_id: str | None = None
        self.retry_ms: int | None = None
        self.answered_here = False
        """Whether the host has its answer already, from the lobby."""
        self.result: dict[str, Any] | None = None
        self.failure: str | None = None
        self.on_answer: Callable[[Any, bytes], bytes] | None = None
        """Looks at an answer on its way; may return other bytes to be handed over. May raise where the
        call reads its own answer, and not another that was sent it by mistake; it is then held back."""

    @property
    def reads(self) -> bool:
        """Whether what is read now is read by this call itself."""
        return self.task is asyncio.current_task()


class Relay:
    def __init__(self, host: Output) -> None:
        self._host = host
        self._calls: dict[Id, Call] = {}
        self._answered = asyncio.Event()
        self._answered.set()

    def open(self, message: Message) -> Call:
        call = Call(message)
        for identifier in call.waiting:
            self._calls[identifier] = call
            self._answered.clear()
        return call

    def find(self, identifier: Any) -> Call | None:
        return self._calls.get(identifier) if isinstance(identifier, (str, int, float)) else None

    def settle(self, call: Call) -> None:
        """Nothing more will come for this call."""
        for identifier in call.waiting:
            if self._calls.get(identifier) is call:
                del self._calls[identifier]
        call.waiting.clear()
        if not self._calls:
            self._answered.set()

    def fail(self, call: Call, text: str, data: Any = None) -> None:
        """Answer what is still unanswered with an error."""
        call.failure = text
        if not call.message.ids:
            log.warning("%s was not delivered: %s", call.message.method or "an answer", text)
        elif not call.cancelled and not call.answered_here:
            for identifier in call.waiting:
                self._host.write(error(identifier, INTERNAL_ERROR, text, data))
        self.settle(call)

    async def all_answered(self) -> None:
        await self._answered.wait()

    async def read(self, call: Call, response: Response, *, patient: bool = False) -> None:
        """Hand over what an answer contains; raises ClientError when it breaks off."""
        try:
            async with aclosing(read_messages(response, patient=patient)) as events:
                async for event in events:
                    if event.id is not None:
                        call.last_event_id = event.id
                    if event.retry is not None:
                        call.retry_ms = event.retry
                    if event.data:
                        self.deliver(event.data, call)
                    if call.resuming and not call.waiting:
                        return
        finally:
            response.close()
        if call.waiting and not call.cancelled:
            raise BrokenStreamError("The server ended its answer without a result.")

    def hand_over(self, raw: bytes, source: Call | None) -> None:
        """Give a message to the host; `source` is the call in whose answer it came."""
        self._host.write(raw)

    def deliver(self, raw: bytes, source: Call | None = None) -> Any:
        """One message from the server to the host. Returns what it says, None if it was dropped."""
        try:
            value = json.loads(raw)
        except (ValueError, RecursionError):
            log.warning("the server sent something that is not JSON; it was dropped")
            return None
        answered = answered_ids(value)
        answered_here = False
        for identifier in answered:
            call = self._calls.get(identifier)
            if call is None:
                log.debug("an answer that nobody awaits was dropped")
                return None
            if call.on_answer is not None:
                raw = call.on_answer(value, raw)
            del self._calls[identifier]
            call.waiting.discard(identifier)
            answered_here = answered_here or call.answered_here
            if isinstance(value, dict):
                found, problem = value.get("result"), value.get("error")
                call.result = found if isinstance(found, dict) else None
                call.failure = str(problem.get("message")) if isinstance(problem, dict) else None
            if call.resuming and call.task is not None and call.task is not asyncio.current_task():
                call.task.cancel()
        if not answered_here:
            self.hand_over(one_line(raw), source)
        if not self._calls:
            self._answered.set()
        return value

    async def pass_on(self, raw: bytes, call: Call) -> None:
        """An answer that was held back."""
        call.on_answer = None
        self.deliver(raw, call)

    async def refuse(self, call: Call, response: Response, body: bytes) -> None:
        """Pass on an HTTP error: the server's own JSON-RPC error if it sent one."""
        if (value := rpc_error(body)) is None:
            raise ClientError(explain(response))
        call.on_answer = None  # who refuses has looked
        if not call.message.ids:
            raise ClientError(str(value["error"].get("message")))
        for identifier in tuple(call.waiting):
            self.deliver(body if value.get("id") == identifier else encode(value | {"id": identifier}))


def explain(response: Response) -> str:
    status = f"{response.status} {response.reason}".strip()
    if response.status == 403:
        return f"The server forbids this ({status})."
    if response.status in (404, 405):
        return f"There is no MCP server at this address ({status})."
    if response.status >= 500:
        return f"The server or a gateway before it has a problem ({status})."
    return f"The server answered {status}."
