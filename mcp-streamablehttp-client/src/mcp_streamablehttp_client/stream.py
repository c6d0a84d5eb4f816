"""Messages out of an HTTP answer, whichever of the two forms it has."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator

from ._common.event_stream import Event, EventParser, EventTooLargeError
from .errors import ClientError, MessageTooLargeError
from .http1 import Response
from .settings import MAX_MESSAGE_BYTES

EVENT_STREAM = "text/event-stream"


async def read_messages(response: Response, *, patient: bool = False) -> AsyncGenerator[Event, None]:
    """Each message as an Event; a JSON answer is one event without an id.

    Raises ClientError when the connection breaks or the answer has another type.
    """
    if response.content_type == EVENT_STREAM:
        parser = EventParser(MAX_MESSAGE_BYTES)
        async for chunk in response.chunks(patient=patient):
            for event in events_in(chunk, parser):
                if event.type == "message":
                    yield event
        return
    body = (await response.read()).strip()
    if not body:
        return
    if response.content_type != "application/json":
        raise ClientError(
            f"The server answered with {response.content_type or 'an unnamed content type'} "
            "instead of JSON; is this the address of an MCP server?"
        )
    yield Event(body)


def events_in(chunk: bytes, parser: EventParser) -> Iterator[Event]:
    """The events that a chunk completes. Raises MessageTooLargeError."""
    try:
        yield from parser.feed(chunk)
    except EventTooLargeError as problem:
        raise MessageTooLargeError(f"The server sent {problem}.") from problem
