"""The device authorization endpoint (RFC 8628 section 3.1)."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from ..clients import metadata
from ..clients.authentication import authenticate
from ..context import Context
from ..errors import UnauthorizedClientError
from ..forms import read_form
from ..grants import device_code
from ..rate_limit import per_hour
from . import described
from .answers import private


def routes(ctx: Context) -> APIRouter:
    router = APIRouter()

    @router.post(
        "/device_authorization",
        **described.form(described.DEVICE),
        **described.answers(described.DeviceAuthorization),
    )
    async def device_authorization(request: Request) -> Response:
        form = await read_form(request)
        await per_hour(ctx, "device.authorize", request, ctx.settings.registrations_per_hour)
        client = await authenticate(ctx, form, request.headers)
        if not client.allows_grant(metadata.DEVICE_CODE):
            raise UnauthorizedClientError("This client is not registered for the device grant.")
        return private(await device_code.start(ctx, client, form))

    return router
