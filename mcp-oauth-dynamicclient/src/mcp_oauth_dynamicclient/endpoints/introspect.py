"""Token introspection (RFC 7662): a confidential client asks about its own tokens, and a server that the
operator entered as a client about the tokens that open it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from ..clients.authentication import ClientAuthenticationError, authenticate
from ..context import Context
from ..errors import InvalidTokenError
from ..forms import read_form
from ..grants import grant, refresh_token
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
    if claims["client_id"] != client.client_id and not _opens(ctx, client, claims["aud"]):
        return None
    given = await live_grant(ctx, claims["grant_id"], claims["jti"])
    if given is None:
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


def _opens(ctx: Context, client: Client, audience: str) -> bool:
    """Whether a token for `audience` opens the server that the operator entered the asking client as."""
    if client.source != "preregistered" or "resource" not in client.metadata:
        return False
    resource = ctx.resources.canonical(client.metadata["resource"])
    return resource is not None and audience in (resource, ctx.settings.issuer)


async def _refresh_token(ctx: Context, client: Client, token: str) -> dict[str, Any] | None:
    entry = await ctx.store.get("refresh_token", digest(token))
    record = RefreshToken.model_validate(entry.value) if entry else None
    if entry is None or record is None or record.client_id != client.client_id:
        return None
    given = await _live(ctx, record.grant_id)
    if given is None or not refresh_token.is_live(record, given):
        return None
    answer: dict[str, Any] = {
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


async def live_grant(ctx: Context, grant_id: str, jti: str) -> Grant | None:
    """The grant behind an access token; None once the token or the grant was revoked, or the person is not
    admitted any more."""
    if await ctx.store.get("revoked", jti) is not None:
        return None
    return await _live(ctx, grant_id)


async def _live(ctx: Context, grant_id: str) -> Grant | None:
    """The grant behind a token, if the person is still admitted."""
    given = await grant.load(ctx, grant_id)
    if given is None or given.identity is None:
        return given
    return given if await ctx.policy.still_allowed(given.identity) is None else None
