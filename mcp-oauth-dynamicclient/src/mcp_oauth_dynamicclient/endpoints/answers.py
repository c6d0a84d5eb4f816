"""JSON answers that no cache may keep (RFC 6749 section 5.1), whichever layer gives them."""

from __future__ import annotations

from typing import Any

from fastapi import Response
from pydantic_core import to_json

NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


def private(content: dict[str, Any], status_code: int = 200) -> Response:
    return Response(to_json(content), status_code, NO_STORE, "application/json")


def broken() -> Response:
    """The answer to an exception that nobody handled; the log has it."""
    content = {"error": "server_error", "error_description": "Something went wrong here; try again."}
    return private(content, 500)
