"""The authorization code grant (RFC 6749 section 4.1) with PKCE S256 (RFC 7636), always."""

from __future__ import annotations

import hmac
from typing import Any, NoReturn

from authlib.oauth2.rfc7636.challenge import CODE_VERIFIER_PATTERN, create_s256_code_challenge

from ..clients import redirects
from ..context import Context
from ..errors import InvalidGrantError, InvalidRequestError
from ..forms import Form
from ..records import AuthorizationCode, Client, Identity
from ..tokens import digest, new_secret
from . import answer, grant, refresh_token, target

INVALID = "The authorization code is unknown, expired, used, or was issued to another client; start again."


async def issue(
    ctx: Context,
    *,
    client: Client,
    redirect_uri: str,
    code_challenge: str,
    resource: str | None,
    scope: str,
    identity: Identity,
) -> str:
    """A code for what a person has just consented to. The grant exists from now on, but ends with the code
    unless the code is redeemed."""
    lives = ctx.settings.code_lifetime
    given = await grant.create(
        ctx,
        client=client,
        identity=identity,
        resource=resource,
        scope=scope,
        redirect_host=redirects.host(redirect_uri),
        lives=lives,
    )
    record = AuthorizationCode(
        client_id=client.client_id,
        client_name=client.name,
        redirect_uri=redirect_uri,
        code_challenge=code_challenge,
        resource=resource,
        scope=scope,
        identity=identity,
        grant_id=given.grant_id,
    )
    code = new_secret()
    await ctx.store.put("code", digest(code), record.model_dump(), expires_at=ctx.now() + lives)
    await ctx.clients.touch(client)
    return code


async def redeem(ctx: Context, client: Client, form: Form) -> dict[str, Any]:
    """Exchange a code for tokens. Nothing is consumed until everything in the request has been checked."""
    key = digest(form.require("code"))
    entry = await ctx.store.get("code", key)
    if entry is None:
        raise InvalidGrantError(INVALID)
    code = AuthorizationCode.model_validate(entry.value)
    if code.client_id != client.client_id:
        raise InvalidGrantError(INVALID)
    if code.redeemed:
        await _reused(ctx, code)
    if form.get("redirect_uri") != code.redirect_uri:
        raise InvalidGrantError("Send the redirect_uri exactly as in the authorization request.")
    _check_verifier(form.get("code_verifier"), code.code_challenge)
    resource = target.resource_within(ctx, form, code.resource)

    await answer.check_person(ctx, code.identity, client_id=code.client_id, resource=code.resource)

    lives = grant.lifetime(ctx, client)
    redeemed = code.model_copy(update={"redeemed": True}).model_dump()
    if not await ctx.store.swap("code", key, entry.version, redeemed, expires_at=ctx.now() + lives):
        await _reused(ctx, code)
    given = await grant.touch(ctx, code.grant_id, lives=lives)
    if given is None:
        raise InvalidGrantError("This authorization has been revoked.")
    await ctx.clients.touch(client)
    token = await refresh_token.issue(ctx, given) if client.allows_grant("refresh_token") else None
    return await answer.bearer(ctx, given, resource=resource, scope=given.scope, refresh_token=token)


async def _reused(ctx: Context, code: AuthorizationCode) -> NoReturn:
    """A code came twice: whoever has the first answer loses it too (RFC 6749 section 4.1.2)."""
    await grant.revoke(ctx, code.grant_id, "authorization code used twice")
    raise InvalidGrantError(INVALID)


def _check_verifier(verifier: str | None, challenge: str) -> None:
    if verifier is None:
        raise InvalidRequestError("The parameter code_verifier is missing (PKCE is always required).")
    if not CODE_VERIFIER_PATTERN.fullmatch(verifier):
        raise InvalidRequestError("The code_verifier must be 43 to 128 unreserved characters (RFC 7636 4.1).")
    if not hmac.compare_digest(_s256(verifier), challenge):
        raise InvalidGrantError("The code_verifier does not match the code_challenge.")


def _s256(verifier: str) -> str:
    return str(create_s256_code_challenge(verifier))  # type: ignore[no-untyped-call]  # Authlib is not annotated
