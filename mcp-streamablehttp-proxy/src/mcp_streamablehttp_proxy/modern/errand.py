"""One call at a child, from the first request for it to its answer, over as many rounds as it needs."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final

from msgspec import Raw

from .. import jsonrpc
from ..call import Call, CallCancelled, ChildError
from ..jsonrpc import Members, Message
from ..streams import MAX_UNSENT
from .answer import Answer
from .envelope import LOG_LEVELS, Envelope

_GATHERING: Final = 0.03
"""Seconds without another question after which those asked so far are put to the client."""


class Errand:
    """What the server says about the call is kept here until an HTTP request carries it away."""

    def __init__(self, message: Message, envelope: Envelope, given: Members | None = None) -> None:
        self.id = message.id or b"null"
        self.method = message.method
        self.envelope = envelope
        self.call: Call
        self.asked: dict[str, Message] = {}
        """The server's questions that wait for the client, by key."""
        self.refused: list[dict[str, Any]] = []
        """Capabilities that the server relied on and the client had not declared."""
        self.parked = False
        self.ended = False
        self.wake = asyncio.Event()
        self._given = given or {}
        self._token = message.meta.get("progressToken")
        self._notes: deque[bytes] = deque()
        self._unsent = 0
        self._keys: set[str] = set()
        self._last_question = 0.0

    @property
    def running(self) -> bool:
        return not self.parked and not self.call.future.done()

    def continued_by(self, message: Message, envelope: Envelope) -> None:
        """The client's next request for the same call."""
        self.id = message.id or b"null"
        self.envelope = envelope
        self.parked = False
        self._token = message.meta.get("progressToken")
        self._notes.clear()
        self._unsent = 0

    def end(self) -> None:
        """Let go of the client, who gets what ends the matter gracefully."""
        self.ended = True
        self.wake.set()

    # from the server

    def post(self, data: bytes) -> None:
        """Pass on a notification, unless the client does not read what it was sent so far."""
        if not self.parked and self._unsent < MAX_UNSENT:
            self._unsent += len(data)
            self._notes.append(data)
            self.wake.set()

    def progress(self, message: Message) -> None:
        """Pass on progress under the token of the request that waits now."""
        if self._token is not None:
            params = {**message.params, "progressToken": self._token}
            self.post(message.with_params(params).raw)

    def log(self, message: Message) -> None:
        """Pass on a log message if this request asked for its level."""
        wanted = self.envelope.log_level
        raw = message.params.get("level")
        level = None if raw is None else jsonrpc.decode(raw)
        if wanted is not None and level in LOG_LEVELS and LOG_LEVELS.index(level) >= wanted:
            self.post(message.raw)

    def question(self, message: Message) -> Raw | None:
        """Take a request of the server; its answer, if the client gave that in advance."""
        key = self._key(message)
        if key in self._given:
            return self._given[key]
        self.asked[key] = message
        self._last_question = asyncio.get_running_loop().time()
        self.wake.set()
        return None

    def _key(self, message: Message) -> str:
        """The server's own id if that is a word; else what it asks for, counted."""
        own = jsonrpc.decode(message.id or b"null")
        key = own if isinstance(own, str) and 0 < len(own) <= 128 else ""
        count = 0
        while not key or key in self._keys:
            count += 1
            key = f"{message.method.partition('/')[0]}-{count}"
        self._keys.add(key)
        return key

    # towards the client

    async def attend(self, answer: Answer, patience: float | None) -> Message | None:
        """Pass on what the server says until it answers.

        None as soon as the client is asked something, has gone, or is let go of.
        Raises ChildError if the server ends, TimeoutError after `patience` seconds.
        """
        clock = asyncio.get_running_loop().time
        deadline = None if patience is None else clock() + patience
        while True:
            self.wake.clear()
            while self._notes:
                note = self._notes.popleft()
                self._unsent -= len(note)
                await answer.note(note)
            if self.call.future.done():
                return self._response()
            if answer.gone or self.ended:
                return None
            until = self._last_question + _GATHERING if self.asked else deadline
            remaining = None if until is None else until - clock()
            if remaining is not None and remaining <= 0:
                if self.asked:
                    return None
                raise TimeoutError
            await answer.wait(self.wake, remaining)

    def _response(self) -> Message | None:
        try:
            return self.call.future.result()
        except CallCancelled as problem:
            raise ChildError(f"the call was cancelled: {problem}") from None
