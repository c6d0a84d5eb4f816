"""Routes for people: whatever goes wrong is shown as a page, not as JSON."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute

from ..errors import AccessDeniedError, OAuth2Error, TooManyRequestsError
from .rendering import error_page

if TYPE_CHECKING:
    from ..context import Context

TITLES = {
    "access_denied": "Not admitted",
    "invalid_client": "This client is not known here",
    "invalid_redirect_uri": "Nothing was sent",
    "temporarily_unavailable": "Not available just now",
}


def page_router(ctx: Context) -> APIRouter:
    """A router whose OAuth2Errors become pages; each route is left out of the OpenAPI document."""

    class PageRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def handle_errors(request: Request) -> Response:
                try:
                    return await handle(request)
                except OAuth2Error as error:
                    return error_as_page(ctx, error)

            return handle_errors

    return APIRouter(route_class=PageRoute, include_in_schema=False)


def error_as_page(ctx: Context, error: OAuth2Error, again: str | None = None) -> Response:
    title, status = TITLES.get(error.error or "", "That did not work"), error.status_code or 400
    if isinstance(error, TooManyRequestsError):
        title = "Too many attempts"
    elif isinstance(error, AccessDeniedError):
        status = 403
    response = error_page(
        ctx, title, error.description or "The request cannot be answered.", status=status, again=again
    )
    if isinstance(error, TooManyRequestsError):
        response.headers["Retry-After"] = str(error.retry_after)
    return response
