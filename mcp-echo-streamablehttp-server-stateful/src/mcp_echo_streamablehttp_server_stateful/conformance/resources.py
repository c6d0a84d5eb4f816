"""Resources, and what subscribes to them."""

from __future__ import annotations

import base64
import json
from typing import Any

from mcp_types import EmptyResult, SubscribeRequestParams, UnsubscribeRequestParams

from .content import png
from .server import server


@server.resource("test://static-text", name="static-text", mime_type="text/plain")
def static_text() -> str:
    """A static text."""
    return "This is the content of the static text resource."


@server.resource("test://static-binary", name="static-binary", mime_type="image/png")
def static_binary() -> bytes:
    """A static image."""
    return base64.b64decode(png())


@server.resource("test://watched-resource", name="watched-resource", mime_type="text/plain")
def watched() -> str:
    """A resource to subscribe to."""
    return "watched"


@server.resource("test://template/{id}/data", name="template", mime_type="application/json")
def template(id: str) -> str:  # noqa: A002
    """Data for an id."""
    data = {"id": id, "templateTest": True, "data": f"Data for ID: {id}"}
    return json.dumps(data, separators=(",", ":"))


async def subscribe(ctx: Any, params: SubscribeRequestParams) -> EmptyResult:
    return EmptyResult()


async def unsubscribe(ctx: Any, params: UnsubscribeRequestParams) -> EmptyResult:
    return EmptyResult()
