"""Calls of handshake servers that wait for a modern client's answers.

The call stays open at the server while the client, which got `input_required`, finds the answers. It is
found again by the sealed `requestState` of the retry.
"""

from __future__ import annotations

import secrets
from functools import cached_property
from typing import Generic, Protocol, TypeVar

from . import jsonrpc
from .channel import LoopTimers, Timer, Timers, UnavailableError
from .error_codes import INVALID_PARAMS
from .jsonrpc import Message, MessageError
from .request_state import Seal, identity

PATIENCE = 600.0
"""Seconds that a call waits for its client."""

MOST_PARKED = 1024
SHARE = 8
"""A user who is known by name has at most one in so many of the parked calls."""

_ANEW = b"anew"
_RETRY_AFTER = 10.0


class Parked(Protocol):
    @property
    def principal(self) -> str:
        """Whose call it is: nobody else's retry finds it."""

    def give_up(self, reason: str) -> None:
        """The client did not come back."""


Call = TypeVar("Call", bound=Parked)


class ParkedCalls(Generic[Call]):
    """All parked calls of one server, bounded in number and time."""

    def __init__(
        self, patience: float = PATIENCE, limit: int = MOST_PARKED, timers: Timers | None = None
    ) -> None:
        self._patience = patience
        self._limit = limit
        self._timers = timers or LoopTimers()
        self._parked: dict[bytes, tuple[Call, Timer]] = {}

    @cached_property
    def _seal(self) -> Seal:
        return Seal()

    def __len__(self) -> int:
        return len(self._parked)

    def park(self, call: Call, message: Message) -> str:
        """Let the call of a request wait; the state that its retry must carry. Raises UnavailableError."""
        mine = sum(other.principal == call.principal for other, _ in self._parked.values())
        if call.principal and mine >= max(1, self._limit // SHARE):
            raise UnavailableError("too many of your calls wait for your answers", _RETRY_AFTER)
        if len(self._parked) >= self._limit:
            raise UnavailableError("too many calls wait for their clients' answers", _RETRY_AFTER)
        handle = secrets.token_bytes(16)
        self._parked[handle] = (call, self._timers.call_later(self._patience, self._expire, handle))
        return self._seal.close(handle, identity(message, call.principal), self._patience)

    def state_for_a_new_call(self, message: Message, principal: str) -> str:
        """A state for a retry that is to be made anew, because no call waits for it."""
        return self._seal.close(_ANEW, identity(message, principal), self._patience)

    def find(self, message: Message, principal: str) -> Call | None:
        """The call that a retry goes on with, which waits on; None for a request that is no such retry."""
        handle = self._handle(message, principal)
        found = self._parked.get(handle) if handle is not None else None
        return None if found is None else found[0]

    def resume(self, message: Message, principal: str) -> Call | None:
        """The call that a retry goes on with; None if it is to be made anew.

        Raises MessageError (-32602) for a state that is not this client's for this request, is used
        up, or has expired.
        """
        if "requestState" not in message.params:
            return None
        handle = self._handle(message, principal)
        if handle == _ANEW:
            return None
        found = self._parked.pop(handle, None) if handle is not None else None
        if found is None:
            raise MessageError(
                INVALID_PARAMS,
                "requestState is not valid for this request or has expired; "
                "send the request again without requestState and inputResponses",
            )
        call, timer = found
        timer.cancel()
        return call

    def close(self) -> None:
        for handle in list(self._parked):
            self._expire(handle)

    def _handle(self, message: Message, principal: str) -> bytes | None:
        raw = message.params.get("requestState")
        state = None if raw is None else jsonrpc.decode(raw)
        return self._seal.open(state, identity(message, principal)) if isinstance(state, str) else None

    def _expire(self, handle: bytes) -> None:
        call, timer = self._parked.pop(handle)
        timer.cancel()
        call.give_up("the client did not answer in time")
