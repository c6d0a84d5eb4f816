"""What a server of ours says at an address that is none of its own: where its endpoint is.

Without it the framework answers, in a form that no client of the protocol reads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.responses import Response

from .refusal import error_body

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request


def name_endpoint(app: Starlette, endpoint: Callable[[Request], str]) -> None:
    """404 in the form of JSON-RPC, with the URL that `endpoint` gives; 405 with the methods that the address
    has."""

    async def answered(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        headers = dict(error.headers or {})
        sentence = f"There is nothing at this address; the MCP endpoint is {endpoint(request)}"
        if error.status_code == 405:
            sentence = f"This address answers {headers.get('Allow', 'other methods')}."
        return Response(error_body(sentence), error.status_code, headers, "application/json")

    app.add_exception_handler(HTTPException, answered)
