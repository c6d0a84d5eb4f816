"""Calls of a handshake-only server that wait for a client's answers (MRTR).

The call stays open at the server while the client, which got `input_required`, finds the
answers. It is found again by the sealed `requestState` of the retry.
"""

from __future__ import annotations

import asyncio
import secrets
from functools import cached_property
from typing import Final

from msgspec import Raw

from .. import jsonrpc
from ..http import Refused
from ..jsonrpc import Members, Message
from .errand import Errand
from .party import Party
from .seal import Seal, identity

PATIENCE: Final = 600.0
"""Seconds that a call waits for its client."""

MOST_PARKED: Final = 1024
_ANEW: Final = b"anew"


class Rounds:
    """All parked calls of one server, bounded in number and time."""

    def __init__(self, patience: float = PATIENCE, limit: int = MOST_PARKED) -> None:
        self._patience = patience
        self._limit = limit
        self._parked: dict[bytes, tuple[Errand, Party, asyncio.TimerHandle]] = {}

    @cached_property
    def _seal(self) -> Seal:
        return Seal()

    def __len__(self) -> int:
        return len(self._parked)

    def park(self, errand: Errand, party: Party, message: Message) -> bytes:
        """Let a call wait; the result that puts the server's questions to the client.

        Raises Refused when too many calls wait already.
        """
        if len(self._parked) >= self._limit:
            raise Refused(503, jsonrpc.INTERNAL_ERROR, "too many calls wait for their clients' answers")
        errand.parked = True
        handle = secrets.token_bytes(16)
        timer = asyncio.get_running_loop().call_later(self._patience, self._expire, handle)
        self._parked[handle] = (errand, party, timer)
        state = self._seal.close(handle, identity(message, party.principal), self._patience)
        asked = {key: _input_request(question) for key, question in errand.asked.items()}
        return _input_required(asked, state)

    def ask_anew(self, urls: dict[str, bytes], message: Message, principal: str) -> bytes:
        """The result that sends a client to URLs first; its retry is a new call."""
        return _input_required(urls, self._seal.close(_ANEW, identity(message, principal), self._patience))

    def resume(self, message: Message, principal: str) -> tuple[Errand, Party] | None:
        """The call that a retry goes on with; None if it is to be made anew.

        Raises Refused (-32602) for a state that is not this client's for this request, is used
        up, or has expired.
        """
        raw = message.params.get("requestState")
        if raw is None:
            return None
        state = jsonrpc.decode(raw)
        payload = self._seal.open(state, identity(message, principal)) if isinstance(state, str) else None
        if payload == _ANEW:
            return None
        found = self._parked.pop(payload, None) if payload is not None else None
        if found is None:
            raise Refused(
                400,
                jsonrpc.INVALID_PARAMS,
                "requestState is not valid for this request or has expired; "
                "send the request again without requestState and inputResponses",
            )
        errand, party, timer = found
        timer.cancel()
        return errand, party

    def close(self) -> None:
        for handle in list(self._parked):
            self._expire(handle)

    def _expire(self, handle: bytes) -> None:
        errand, party, timer = self._parked.pop(handle)
        timer.cancel()
        party.end(errand, "the client did not answer in time")


def input_responses(message: Message) -> Members:
    """The client's answers by key. Raises Refused (-32602) if that is not what they are."""
    raw = message.params.get("inputResponses")
    if raw is None:
        return {}
    answers = jsonrpc.object_members(raw)
    if bytes(raw)[:1] != b"{" or any(bytes(answer)[:1] != b"{" for answer in answers.values()):
        raise Refused(
            400, jsonrpc.INVALID_PARAMS, "params.inputResponses must be an object with an object for each key"
        )
    return answers


def hand_over(errand: Errand, party: Party, answers: Members) -> None:
    """Give the server the answers it waits for; what it did not ask for is ignored."""
    for key, question in list(errand.asked.items()):
        if key in answers:
            del errand.asked[key]
            party.answer(question, answers[key])


def url_requests(error: Raw) -> dict[str, bytes]:
    """The input requests that stand for an error -32042 (2025-11-25, URL elicitation required)."""
    data = jsonrpc.object_members(jsonrpc.object_members(error).get("data"))
    listed = data.get("elicitations")
    requests: dict[str, bytes] = {}
    if listed is not None and bytes(listed)[:1] == b"[":
        for number, item in enumerate(jsonrpc.split_batch(bytes(listed)), 1):
            params = jsonrpc.object_members(item)
            params.pop("elicitationId", None)
            requests[f"elicitation-{number}"] = _request("elicitation/create", params)
    return requests


def _input_request(question: Message) -> bytes:
    return _request(question.method, question.params)


def _request(method: str, params: Members) -> bytes:
    return b'{"method":%b,"params":%b}' % (jsonrpc.encode(method), jsonrpc.dump(params))


def _input_required(requests: dict[str, bytes], state: str) -> bytes:
    return b'{"resultType":"input_required","inputRequests":%b,"requestState":%b}' % (
        jsonrpc.dump(requests),
        jsonrpc.encode(state),
    )
