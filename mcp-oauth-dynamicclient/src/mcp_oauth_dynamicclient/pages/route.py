"""Routes for people: a page is for a browser that goes to it, and whatever goes wrong is a page too."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from ..errors import (
    InvalidRequestError,
    OAuth2Error,
    ServerError,
    TemporarilyUnavailableError,
    TooManyRequestsError,
)
from .errors import refuse_error

if TYPE_CHECKING:
    from ..audit import Event
    from ..context import Context

log = logging.getLogger(__name__)

NAVIGATION = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
"""What a browser says when a person goes to a page, and no script or frame can make it say (Fetch Metadata).
Plain http beyond loopback sends neither. Sec-Fetch-User is not asked for: pop-ups and programs that open a
browser lack it."""


class NotNavigatedError(InvalidRequestError):
    status_code = 403


def page_router(ctx: Context, event: Event, again: str | None = None) -> APIRouter:
    """A router whose OAuth2Errors become pages, recorded as `event`; its routes are left out of the OpenAPI
    document. `again` is where its pages begin, if a person can begin there."""

    class PageRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def handle_errors(request: Request) -> Response:
                try:
                    check_navigation(ctx, request)
                    return await handle(request)
                except OAuth2Error as error:
                    return _refuse(request, error)
                except (HTTPException, RequestValidationError, ClientDisconnect):
                    raise
                except Exception as error:
                    log.exception("%s %s", request.method, quote(request.url.path))
                    fault = ServerError("Something went wrong here.", detail=repr(error), status_code=500)
                    return _refuse(request, fault)

            return handle_errors

    def _refuse(request: Request, error: OAuth2Error) -> Response:
        waiting_helps = isinstance(error, TooManyRequestsError | TemporarilyUnavailableError)
        claimed = request.query_params.get("client_id") or None
        start = None if waiting_helps else again
        return refuse_error(ctx, event, error, again=start, claimed_client=claimed)

    return APIRouter(route_class=PageRoute, include_in_schema=False)


def is_navigation(request: Request) -> bool:
    """Whether nothing says that a script or a frame asks."""
    return all(request.headers.get(name, expected) == expected for name, expected in NAVIGATION.items())


def check_navigation(ctx: Context, request: Request) -> None:
    """Neither a script, nor a frame, nor a form of another site may open or answer a page. In the one-host
    shape the servers' pages share this origin."""
    for name, expected in NAVIGATION.items():
        sent = request.headers.get(name)
        if sent not in (None, expected):
            raise NotNavigatedError(
                "This page opens only in a browser window of its own.", detail=f"{name}: {sent[:50]}"
            )
    if request.method != "POST":
        return
    origin = request.headers.get("origin")
    if origin != ctx.settings.issuer:
        raise NotNavigatedError(
            "This answer does not come from a page of this gateway, so nothing was done.",
            detail=f"origin: {str(origin)[:200]}",
        )
