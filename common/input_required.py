"""Questions to the client as results and retries instead of requests (MCP 2026-07-28, MRTR)."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Raw

from . import jsonrpc
from .error_codes import INVALID_PARAMS
from .jsonrpc import Members, Message, MessageError


def input_responses(message: Message) -> Members:
    """The client's answers by key. Raises MessageError (-32602) if they are not objects in an object."""
    raw = message.params.get("inputResponses")
    if raw is None:
        return {}
    answers = jsonrpc.object_members(raw)
    if bytes(raw)[:1] != b"{" or any(bytes(answer)[:1] != b"{" for answer in answers.values()):
        reason = "params.inputResponses must be an object with an object for each key"
        raise MessageError(INVALID_PARAMS, reason)
    return answers


def input_request(method: str, params: Members) -> bytes:
    return b'{"method":%b,"params":%b}' % (jsonrpc.encode(method), jsonrpc.dump(params))


def input_required(requests: Mapping[str, bytes], state: str) -> bytes:
    """The result that puts questions to the client, which repeats its request with this state."""
    return b'{"resultType":"input_required","inputRequests":%b,"requestState":%b}' % (
        jsonrpc.dump(requests),
        jsonrpc.encode(state),
    )


def url_requests(error: Raw) -> dict[str, bytes]:
    """The input requests that stand for an error -32042 (2025-11-25, URL elicitation required)."""
    data = jsonrpc.object_members(jsonrpc.object_members(error).get("data"))
    listed = data.get("elicitations")
    requests: dict[str, bytes] = {}
    if listed is not None and bytes(listed)[:1] == b"[":
        for number, item in enumerate(jsonrpc.split_batch(bytes(listed)), 1):
            params = jsonrpc.object_members(item)
            params.pop("elicitationId", None)
            requests[f"elicitation-{number}"] = input_request("elicitation/create", params)
    return requests
