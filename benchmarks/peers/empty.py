"""The floor: an ASGI application that answers an empty 200 to everything."""

from __future__ import annotations

from typing import Any

HEADERS = [(b"content-length", b"0")]


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        await send({"type": "http.response.body"})
