"""Which of the two forms of an answer a client takes (MCP, Streamable HTTP, Sending Messages; RFC 9110
section 12.5.1).

A client that sends no Accept takes anything. JSON alone gets JSON, an event stream alone gets an event
stream, and who takes both gets JSON unless something precedes the answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

JSON = "application/json"
EVENT_STREAM = "text/event-stream"


class Accepted(NamedTuple):
    """Whether a client takes JSON, and whether it takes an event stream."""

    json: bool
    stream: bool


@lru_cache(64)  # a client sends the same one with each request
def accepted(header: str | None) -> Accepted:
    """What an Accept header admits; several field lines are joined with commas. Without one, both."""
    if header is None:
        return Accepted(True, True)
    ranges = [entry for entry in map(_range, header.split(",")) if entry is not None]
    return Accepted(_quality(JSON, ranges) > 0, _quality(EVENT_STREAM, ranges) > 0)


def accepted_by(headers: Iterable[tuple[bytes, bytes]]) -> Accepted:
    """The same for the headers of an ASGI scope."""
    lines = [value.decode("latin-1") for name, value in headers if name == b"accept"]
    return accepted(",".join(lines) if lines else None)


def asks_for_a_standing_stream(scope: Mapping[str, Any]) -> bool:
    """Of an ASGI scope: GET, or `subscriptions/listen`, which its mirrored header names (MCP 2026-07-28)."""
    return scope["method"] == "GET" or (b"mcp-method", b"subscriptions/listen") in scope["headers"]


def unacceptable(takes: Accepted, *, streams: bool) -> str | None:
    """Why there is no answer in a form that the client takes, for a 406; None when there is one.

    `streams`: whether the answer can only be an event stream, as that to subscriptions/listen.
    """
    if streams and not takes.stream:
        return f"This answer is an event stream; send Accept: {EVENT_STREAM}."
    if not takes.json and not takes.stream:
        return f"Send Accept: {JSON}, {EVENT_STREAM}."
    return None


def _range(text: str) -> tuple[str, float] | None:
    """A media range and its weight; None for what is none. Parameters other than the weight do not count:
    the two forms have none that would make a difference."""
    name, *parameters = (part.strip().lower() for part in text.split(";"))
    if "/" not in name:
        return None
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "q":
            try:
                return name, float(value)
            except ValueError:
                return name, 0.0
    return name, 1.0


def _quality(media_type: str, ranges: list[tuple[str, float]]) -> float:
    """The weight of the most specific range that fits, 0 for none."""
    for form in (media_type, media_type.partition("/")[0] + "/*", "*/*"):
        weights = [weight for name, weight in ranges if name == form]
        if weights:
            return max(weights)
    return 0.0
