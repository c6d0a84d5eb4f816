"""Dynamic client registration (RFC 7591) and its management (RFC 7592)."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from ..clients import Registration, management
from ..context import Context
from ..errors import AccessDeniedError, InvalidClientMetadataError, OAuth2Error
from ..forms import read_body
from ..json_object import parse_object
from ..rate_limit import address, per_hour
from . import described
from .answers import NO_STORE, private

MAX_METADATA = 16 * 1024
"""Bytes of a registration. Anybody may register, and what is registered is kept for a day."""


def routes(ctx: Context) -> APIRouter:
    router = APIRouter()

    @router.post(
        "/register",
        status_code=201,
        **described.client_metadata(),
        **described.answers(described.ClientInformation, 201),
    )
    async def register(request: Request) -> Response:
        settings = ctx.settings
        if not settings.registration:
            raise AccessDeniedError(
                "Dynamic registration is switched off here; use a metadata document or ask the operator.",
                status_code=403,
            )
        await per_hour(ctx, "client.register", request, settings.registrations_per_hour)
        try:
            registration = await ctx.clients.register(await _metadata(request))
        except OAuth2Error as error:
            ctx.audit.record("client.register", outcome="refused", error=error, address=address(request))
            raise
        client = registration.client
        ctx.audit.record("client.register", outcome="registered", client=client.client_id, name=client.name)
        return private(management.information(ctx, registration), 201)

    @router.get("/register/{client_id}", **described.answers(described.ClientInformation))
    async def read(client_id: str, request: Request) -> Response:
        client, token = await management.authorize(ctx, client_id, request.headers.get("authorization"))
        return private(management.information(ctx, Registration(client, registration_token=token)))

    @router.put(
        "/register/{client_id}",
        **described.client_metadata(),
        **described.answers(described.ClientInformation),
    )
    async def update(client_id: str, request: Request) -> Response:
        client, _ = await management.authorize(ctx, client_id, request.headers.get("authorization"))
        registration = await management.update(ctx, client, await _metadata(request))
        return private(management.information(ctx, registration))

    @router.delete("/register/{client_id}", status_code=204, **described.answers())
    async def delete(client_id: str, request: Request) -> Response:
        await management.authorize(ctx, client_id, request.headers.get("authorization"))
        await management.remove(ctx, client_id, "deleted by the client")
        return Response(status_code=204, headers=NO_STORE)

    return router


async def _metadata(request: Request) -> dict[str, Any]:
    try:
        return parse_object(await read_body(request, MAX_METADATA))
    except ValueError as error:
        raise InvalidClientMetadataError("Send the client metadata as a JSON object.") from error
