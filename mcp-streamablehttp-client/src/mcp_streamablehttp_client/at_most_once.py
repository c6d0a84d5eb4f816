"""Which messages may be sent a second time when the first answer is lost (RFC 9110 section 9.2.2).

Whether the server acted on a lost request cannot be known. So only what does no harm when it
happens twice is sent again; a tool call never is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from .errors import BrokenStreamError, ClientError, OutcomeUnknownError
from .jsonrpc import Message

PAUSES = (0.1, 1.0)
"""Seconds before each repetition."""

REPEATABLE = {
    "initialize": "a handshake nobody continues leaves an unused session, which the server ends",
    "server/discover": "reads",
    "ping": "does nothing",
    "tools/list": "reads",
    "prompts/list": "reads",
    "prompts/get": "fills in a template",
    "resources/list": "reads",
    "resources/templates/list": "reads",
    "resources/read": "reads",
    "resources/subscribe": "sets what is already set",
    "resources/unsubscribe": "removes what is already removed",
    "completion/complete": "reads",
    "logging/setLevel": "sets what is already set",
    "subscriptions/listen": "a listener that went away gets nothing",
    "tasks/get": "reads",
    "tasks/list": "reads",
    "tasks/result": "reads",
    "notifications/initialized": "says what is already known",
    "notifications/cancelled": "what is cancelled stays so",
    "notifications/roots/list_changed": "only invites to list again",
}
"""Method and why it may happen twice. `tools/call`, `tasks/cancel`, `tasks/update`, progress notes
and every unknown method are not in it."""


def repeatable(message: Message) -> bool:
    """Whether a message may be sent again when nobody knows what became of it."""
    items = message.value if isinstance(message.value, list) else [message.value]
    return all(_harmless(item) for item in items)


def _harmless(item: dict[str, Any]) -> bool:
    if "method" not in item:
        return True  # an answer: the request it belongs to takes only the first
    params = item.get("params")
    answers_a_question = isinstance(params, dict) and ("inputResponses" in params or "requestState" in params)
    return item["method"] in REPEATABLE and not answers_a_question


async def with_repeats(message: Message, attempt: Callable[[], Awaitable[None]]) -> None:
    """Run `attempt`, and again when its answer is lost and the message may be repeated.

    Raises ClientError; for a message that may not be repeated it says that the outcome is unknown.
    """
    pauses = PAUSES if repeatable(message) else ()
    for pause in pauses:
        try:
            return await attempt()
        except (OutcomeUnknownError, BrokenStreamError):
            await asyncio.sleep(pause)
    try:
        return await attempt()
    except BrokenStreamError as failure:
        if pauses or not message.ids:
            raise
        raise ClientError(
            f"{failure} Whether the server acted on the request is not known; it was not sent again."
        ) from failure
