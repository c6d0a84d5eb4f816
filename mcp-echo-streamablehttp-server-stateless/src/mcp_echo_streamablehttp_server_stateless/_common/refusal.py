"""An HTTP status with a JSON-RPC error, for requests that get no further than the door."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import Send

INVALID_REQUEST = -32600
INTERNAL_ERROR = -32603


def error_body(sentence: str, code: int = INVALID_REQUEST) -> bytes:
    """The body: the error has no id, since no message was read (JSON-RPC 2.0 section 5)."""
    return json.dumps({"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": sentence}}).encode()


async def refuse(send: Send, status: int, sentence: str, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
    body = error_body(sentence)
    length = str(len(body)).encode()
    head = [(b"content-type", b"application/json"), (b"content-length", length), *headers]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})
