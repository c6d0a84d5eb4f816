"""An HTTP status with a JSON-RPC error, for requests that get no further than the door."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from .error_codes import INTERNAL_ERROR, INVALID_REQUEST

if TYPE_CHECKING:
    from starlette.types import Send


def error(id_: str | float | None, code: int, sentence: str) -> bytes:
    """The message; it has no id where none was read (JSON-RPC 2.0 section 5)."""
    return json.dumps({"jsonrpc": "2.0", "id": id_, "error": {"code": code, "message": sentence}}).encode()


def error_body(sentence: str, code: int = INVALID_REQUEST) -> bytes:
    return error(None, code, sentence)


async def refuse(
    send: Send,
    status: int,
    sentence: str,
    headers: Iterable[tuple[bytes, bytes]] = (),
    *,
    code: int | None = None,
    id_: str | float | None = None,
) -> None:
    """Answer with this status. Without a code, 5xx is an internal error, any other an invalid request."""
    if code is None:
        code = INTERNAL_ERROR if status >= 500 else INVALID_REQUEST
    body = error(id_, code, sentence)
    length = str(len(body)).encode()
    head = [(b"content-type", b"application/json"), (b"content-length", length), *headers]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})
