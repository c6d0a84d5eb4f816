"""Token revocation (RFC 7009)."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from ..clients.authentication import authenticate
from ..context import Context
from ..errors import InvalidTokenError
from ..forms import read_form
from ..grants import grant
from ..records import Client, RefreshToken
from ..tokens import digest
from . import described
from .answers import NO_STORE


def routes(ctx: Context) -> APIRouter:
    router = APIRouter()

    @router.post(
        "/revoke",
        response_class=Response,
        **described.form(described.ONE_TOKEN, "token"),
        **described.answers(),
    )
    async def revoke(request: Request) -> Response:
        form = await read_form(request)
        client = await authenticate(ctx, form, request.headers)
        token = form.require("token")
        # The hint is only a hint: what the token is decides (section 2.1).
        if not await _revoke_refresh_token(ctx, client, token):
            await _revoke_access_token(ctx, client, token)
        # The same answer whatever was found: the purpose is reached (section 2.2).
        return Response(headers=NO_STORE)

    return router


async def _revoke_refresh_token(ctx: Context, client: Client, token: str) -> bool:
    """A refresh token ends its grant, and with it the access tokens."""
    entry = await ctx.store.get("refresh_token", digest(token))
    if entry is None:
        return False
    record = RefreshToken.model_validate(entry.value)
    if record.client_id == client.client_id:
        await grant.revoke(ctx, record.grant_id, "revoked by the client")
    return True


async def _revoke_access_token(ctx: Context, client: Client, token: str) -> None:
    """An access token ends alone; its grant stays."""
    try:
        claims = await ctx.tokens.verify(token)
    except InvalidTokenError:
        return
    if claims["client_id"] != client.client_id:
        return
    await ctx.store.put("revoked", claims["jti"], {}, expires_at=claims["exp"])
    ctx.audit.record("token.revoke", outcome="revoked", user=claims["sub"], client=client.client_id)
