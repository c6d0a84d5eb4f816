"""The token endpoint (RFC 6749 section 3.2): who asks, what for, and the grant that answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Request, Response

from ..clients import metadata
from ..clients.authentication import authenticate
from ..context import Context
from ..errors import OAuth2Error, UnauthorizedClientError, UnsupportedGrantTypeError
from ..forms import Form, read_form
from ..grants import authorization_code, client_credentials, device_code, refresh_token
from ..grants.id_jag import IdJagGrant
from ..records import Client
from . import described
from .answers import private

GrantType = Callable[[Context, Client, Form], Awaitable[dict[str, Any]]]


class UnknownGrantTypeError(UnsupportedGrantTypeError):
    description = "This grant type is not supported; see grant_types_supported in the metadata."


def routes(ctx: Context) -> APIRouter:
    router = APIRouter()
    grant_types: dict[str, GrantType] = {
        metadata.AUTHORIZATION_CODE: authorization_code.redeem,
        metadata.REFRESH_TOKEN: refresh_token.redeem,
        metadata.DEVICE_CODE: device_code.redeem,
        metadata.CLIENT_CREDENTIALS: client_credentials.redeem,
    }
    if ctx.settings.id_jag_issuer:
        grant_types[metadata.JWT_BEARER] = IdJagGrant().redeem

    @router.post(
        "/token", **described.form(described.TOKEN, "grant_type"), **described.answers(described.TokenAnswer)
    )
    async def token(request: Request) -> Response:
        form = await read_form(request)
        client = await authenticate(ctx, form, request.headers)
        name = form.require("grant_type")
        grant_type = grant_types.get(name)
        if grant_type is None:
            raise UnknownGrantTypeError
        if not client.allows_grant(name):
            raise UnauthorizedClientError("This client is not registered for this grant type.")
        try:
            return private(await grant_type(ctx, client, form))
        except OAuth2Error as error:
            ctx.audit.record(
                "token.issue",
                outcome="refused",
                client=client.client_id,
                error=error,
                grant_type=name,
            )
            raise

    return router
