"""Token introspection (RFC 7662): a confidential client asks about its own tokens."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from ..clients.authentication import ClientAuthenticationError, authenticate
from ..context import Context
from ..errors import InvalidTokenError
from ..forms import read_form
from ..grants import grant
from ..records import Client, Grant, RefreshToken
from ..tokens import digest
from . import described
from .answers import private

INACTIVE: dict[str, Any] = {"active": False}


def routes(ctx: Context) -> APIRouter:
    router = APIRouter()

    @router.post(
        "/introspect",
        **described.form(described.ONE_TOKEN, "token"),
        **described.answers(described.Introspection),
    )
    async def introspect(request: Request) -> Response:
        form = await read_form(request)
        client = await authenticate(ctx, form, request.headers)
        if client.auth_method == "none":
            raise ClientAuthenticationError("Only clients that authenticate may introspect tokens.")
        token = form.require("token")
        found = await _access_token(ctx, client, token) or await _refresh_token(ctx, client, token)
        return private(found or INACTIVE)

    return router


async def _access_token(ctx: Context, client: Client, token: str) -> dict[str, Any] | None:
    try:
        claims = await ctx.tokens.verify(token)
    except InvalidTokenError:
        return None
    given = await _live(ctx, client, claims["client_id"], claims["grant_id"])
    if given is None or await ctx.store.get("revoked", claims["jti"]) is not None:
        return None
    names = ("iss", "sub", "aud", "exp", "iat", "jti", "client_id", "scope")
    answer = {
        "active": True,
        "token_type": "Bearer",
        **{name: claims[name] for name in names if name in claims},
    }
    if given.identity is not None:
        answer["username"] = given.identity.login
    return answer


async def _refresh_token(ctx: Context, client: Client, token: str) -> dict[str, Any] | None:
    entry = await ctx.store.get("refresh_token", digest(token))
    if entry is None:
        return None
    record = RefreshToken.model_validate(entry.value)
    given = await _live(ctx, client, record.client_id, record.grant_id)
    if given is None or record.generation < given.generation - 1:
        return None
    answer = {
        "active": True,
        "iss": ctx.settings.issuer,
        "aud": given.resource or ctx.settings.issuer,
        "client_id": given.client_id,
        "scope": given.scope,
    }
    if given.identity is not None:
        answer |= {"sub": given.identity.user_id, "username": given.identity.login}
    if entry.expires_at is not None:
        answer["exp"] = int(entry.expires_at)
    return answer


async def _live(ctx: Context, client: Client, owner: str, grant_id: str) -> Grant | None:
    """The grant behind a token, if it is the asking client's own and the person is still admitted."""
    given = await grant.load(ctx, grant_id) if owner == client.client_id else None
    if given is None or given.identity is None:
        return given
    return given if await ctx.policy.still_allowed(given.identity) is None else None
