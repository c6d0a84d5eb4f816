"""Accept negotiation around the SDK's Streamable HTTP server, which knows one form for everybody.

The SDK is set to event streams and is told that every client takes both; what it sends is given to the client
in the form that it takes.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .accept import EVENT_STREAM, JSON, Accepted, accepted_by, asks_for_a_standing_stream, unacceptable
from .error_codes import METHOD_NOT_FOUND
from .refusal import error, refuse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_BOTH = f"{JSON}, {EVENT_STREAM}".encode()
_OF_A_STREAM = frozenset((b"cache-control", b"connection", b"content-type", b"x-accel-buffering"))


class Negotiated:
    """406 for a client that takes neither form.

    A client that takes JSON alone is not told what precedes the answer, and what the server asks it on the
    way is refused in its name. Whoever takes JSON cannot listen: GET and subscriptions/listen are 406.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        takes = accepted_by(scope["headers"])
        listening = asks_for_a_standing_stream(scope)
        if objection := unacceptable(takes, streams=listening):
            await refuse(send, 406, objection)
        else:
            headers = [(name, value) for name, value in scope["headers"] if name != b"accept"]
            told = {**scope, "headers": [*headers, (b"accept", _BOTH)]}
            if listening or scope["method"] != "POST":
                await self.app(told, receive, send)
            else:
                await self.app(told, receive, _Answer(self.app, told, send, takes))


class _Answer:
    """The `send` of one POST: holds back the beginning until the form is known."""

    def __init__(self, app: ASGIApp, scope: Scope, send: Send, takes: Accepted) -> None:
        self._app = app
        self._scope = scope
        self._send = send
        self._takes = takes
        self._start: Message | None = None
        self._rest = b""
        """What was held back: part of an event, or of a body that becomes one."""
        self._passing = False
        self._over = False

    async def __call__(self, message: Message) -> None:
        if self._over:
            return
        if self._passing:
            await self._send(message)
        elif message["type"] == "http.response.start":
            self._start = message
            streamed = _content_type(message) == EVENT_STREAM
            wrapped = message["status"] == 200 and _content_type(message) == JSON and not self._takes.json
            if not (streamed and self._takes.json) and not wrapped:
                await self._pass_on()
        elif self._start is not None:
            more = message.get("more_body", False)
            self._rest += message.get("body", b"")
            if _content_type(self._start) == JSON:
                if not more:
                    await self._as_stream()
            else:
                await self._events(more)

    async def _events(self, more: bool) -> None:
        while not self._over and not self._passing and (end := _end_of_event(self._rest)):
            event, rest = self._rest[:end], self._rest[end:]
            found = _message(event)
            if found is not None and "method" not in found:
                await self._as_json(_data(event))
            elif self._takes.stream:
                await self._pass_on(self._rest, more)
            else:
                self._rest = rest
                if found is not None and "id" in found:
                    await self._decline(found["id"])
        if not more and not self._over and not self._passing:
            await self._pass_on(self._rest, more)

    async def _pass_on(self, body: bytes | None = None, more: bool = True) -> None:
        assert self._start is not None
        self._passing = True
        await self._send(self._start)
        if body is not None:
            await self._send({"type": "http.response.body", "body": body, "more_body": more})

    async def _as_json(self, body: bytes) -> None:
        await self._whole(body, JSON)

    async def _as_stream(self) -> None:
        await self._whole(b"event: message\r\ndata: " + self._rest + b"\r\n\r\n", EVENT_STREAM)

    async def _whole(self, body: bytes, content_type: str) -> None:
        assert self._start is not None
        self._over = True
        kept = [
            (name, value)
            for name, value in self._start["headers"]
            if name.lower() not in _OF_A_STREAM and name.lower() != b"content-length"
        ]
        head = [*kept, (b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
        await self._send({**self._start, "headers": head})
        await self._send({"type": "http.response.body", "body": body})

    async def _decline(self, id_: str | float) -> None:
        """Answer a question of the server's as a client does that never declared it could be asked."""
        body = error(id_, METHOD_NOT_FOUND, "The client takes JSON alone and cannot be asked.")
        headers = [(name, value) for name, value in self._scope["headers"] if name != b"content-length"]
        scope = {**self._scope, "headers": [*headers, (b"content-length", str(len(body)).encode())]}

        async def receive() -> Message:
            return {"type": "http.request", "body": body}

        async def ignore(message: Message) -> None:
            """That the answer was taken interests nobody."""

        await self._app(scope, receive, ignore)


def _content_type(start: Message) -> str:
    for name, value in start["headers"]:
        if name.lower() == b"content-type":
            return str(value.decode("latin-1").partition(";")[0].strip().lower())
    return ""


def _end_of_event(data: bytes) -> int:
    """Where the first whole event ends, with its blank line; 0 for none."""
    ends = [found + len(blank) for blank in (b"\r\n\r\n", b"\n\n") if (found := data.find(blank)) >= 0]
    return min(ends, default=0)


def _data(event: bytes) -> bytes:
    lines = event.replace(b"\r\n", b"\n").split(b"\n")
    return b"\n".join(line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:"))


def _message(event: bytes) -> dict[str, Any] | None:
    """The JSON-RPC message of an event; None for a comment and for an event without data."""
    data = _data(event)
    found = json.loads(data) if data else None
    return found if isinstance(found, dict) else None
