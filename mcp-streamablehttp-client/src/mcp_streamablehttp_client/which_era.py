"""Whether an answer comes from a server that speaks the other era (2026-07-28, Transports, "Backwards
Compatibility").

A server may say "no such method" with any status and any code: its framework chooses them. So the codes
that only one era defines are what tells; everything else that refuses an era's first request means
that the era is not spoken. Refusals of other requests may have another reason, and lead to a question.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._common.error_codes import (
    HEADER_MISMATCH,
    INTERNAL_ERROR,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    MISSING_CAPABILITY,
    UNSUPPORTED_VERSION,
)
from ._common.versions import HANDSHAKE_VERSIONS, MODERN_VERSION
from .at_most_once import repeatable

if TYPE_CHECKING:
    from .jsonrpc import Message

NO_ENDPOINT = frozenset({400, 404, 405, 406, 415, 422, 501})
"""Statuses of whoever cannot read a request; others (a sign-in, a limit, a crash) have another reason."""


def may_be_the_other(message: Message, status: int, answer: dict[str, Any] | None) -> bool:
    """Whether the first answer to a request of 2026-07-28 may be of the other era: that to `server/discover`
    decides, others raise the question.

    `answer` is the JSON-RPC answer, None where there was none. What may not be sent twice raises it only
    where the server cannot have acted on it.
    """
    modern = answer is not None and is_modern(answer)
    if message.method == "server/discover":
        return _refuses(status, answer) or (answer is not None and "result" in answer and not modern)
    if answer is None or status >= 400:
        code = _code(answer)
        return _refuses(status, answer) and (code != INTERNAL_ERROR or repeatable(message))
    if repeatable(message):
        return not modern and _code(answer) != INTERNAL_ERROR
    return _code(answer) in (METHOD_NOT_FOUND, INVALID_REQUEST)


def refuses_the_handshake(status: int, answer: dict[str, Any] | None) -> bool:
    """Whether an answer to `initialize` says so; `answer` is the JSON-RPC error, None where there was
    none."""
    return _readable(status, answer) and (answer is not None or status in NO_ENDPOINT)


def is_modern(answer: dict[str, Any]) -> bool:
    """Whether a result is one of 2026-07-28."""
    result = answer.get("result")
    if not isinstance(result, dict):
        return False
    versions = result.get("supportedVersions")
    return MODERN_VERSION in versions if isinstance(versions, list) else "resultType" in result


def _refuses(status: int, answer: dict[str, Any] | None) -> bool:
    if not _readable(status, answer):
        return False
    code = _code(answer)
    if code is None:
        return answer is None and status in NO_ENDPOINT
    if code == UNSUPPORTED_VERSION:
        return _names_handshakes_only(answer)
    return code not in (HEADER_MISMATCH, MISSING_CAPABILITY)


def _readable(status: int, answer: dict[str, Any] | None) -> bool:
    """Whether the status leaves the decision to what the answer says."""
    return status < 300 or status in NO_ENDPOINT or _code(answer) == METHOD_NOT_FOUND


def _names_handshakes_only(answer: dict[str, Any] | None) -> bool:
    data = (answer or {})["error"].get("data")
    supported = data.get("supported") if isinstance(data, dict) else None
    if not isinstance(supported, list) or MODERN_VERSION in supported:
        return False
    return any(version in HANDSHAKE_VERSIONS for version in supported)


def _code(answer: dict[str, Any] | None) -> Any:
    error = answer.get("error") if answer is not None else None
    return error.get("code") if isinstance(error, dict) else None
