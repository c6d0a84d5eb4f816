"""Messages out of an HTTP answer, whichever of the two forms it has."""

from collections.abc import AsyncGenerator

from .errors import ClientError
from .http1 import Response
from .sse import Event, EventParser

EVENT_STREAM = "text/event-stream"


async def read_messages(response: Response, *, patient: bool = False) -> AsyncGenerator[Event, None]:
    """Each message as an Event; a JSON answer is one event without an id.

    Raises ClientError when the connection breaks or the answer has another type.
    """
    if response.content_type == EVENT_STREAM:
        parser = EventParser()
        async for chunk in response.chunks(patient=patient):
            for event in parser.feed(chunk):
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
