"""JSON-RPC 2.0 requests that are none, refused before the SDK's server reads them.

The SDK takes an id that is null or a fraction for no id, and answers a malformed message with the names of
its own models and pieces of what the caller sent.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .refusal import refuse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class MessageCheck:
    """400 with -32600 in one sentence and the message's own id (JSON-RPC 2.0 sections 4 and 5).

    A body beyond `limit` bytes is passed on, to whoever refuses it for its size; so is what is not JSON.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self.app = app
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        read: list[Message] = []
        size = 0
        while not read or (read[-1].get("more_body", False) and size <= self.limit):
            message = await receive()
            read.append(message)
            size += len(message.get("body", b""))
            if message["type"] == "http.disconnect":
                return
        if size <= self.limit:
            try:
                found = json.loads(b"".join(message.get("body", b"") for message in read))
            except (ValueError, RecursionError):
                found = None
            else:
                fault = fault_of(found)
                if fault is not None:
                    await refuse(send, 400, fault, id_=id_of(found))
                    return
        read.reverse()

        async def again() -> Message:
            return read.pop() if read else await receive()

        await self.app(scope, again, send)


def fault_of(message: Any) -> str | None:
    """What is wrong with the message, in a sentence that says what is right; None for nothing."""
    if isinstance(message, list):
        return "Send one JSON-RPC message; batches are not taken."
    if not isinstance(message, dict):
        return "A JSON-RPC message is an object."
    if message.get("jsonrpc") != "2.0":
        return 'The member jsonrpc has to be "2.0".'
    if "id" in message and not _is_id(message["id"]) and not ("error" in message and message["id"] is None):
        return "The member id has to be text or a whole number."
    if "method" in message:
        if not isinstance(message["method"], str):
            return "The member method has to be text."
        if not isinstance(message.get("params", {}), dict):
            return "The member params has to be an object."
    elif ("result" in message) == ("error" in message):
        return "A message is a request with a method, or an answer with a result or an error."
    elif "id" not in message:
        return "An answer has to carry the id of the request that it answers."
    return None


def id_of(message: Any) -> str | float | None:
    """The id to answer with: the caller's where it is text or a number (1.5 is one), else null."""
    found = message.get("id") if isinstance(message, dict) else None
    return found if isinstance(found, str | int | float) and not isinstance(found, bool) else None


def _is_id(value: Any) -> bool:
    if isinstance(value, float):
        return value.is_integer()
    return isinstance(value, str | int) and not isinstance(value, bool)
