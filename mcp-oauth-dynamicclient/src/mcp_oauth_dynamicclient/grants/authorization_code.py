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
from ..sealing import derived_secret
from ..tokens import digest, new_secret
from . import grant, refresh_token, target, token_response

REMEMBERED = 2 * 3600
"""Seconds for which a consent is known to have been given: longer than its page can be sent again."""
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
    consent: str | None = None,
) -> str | None:
    """A code for what a person has just consented to. The grant exists from now on, but ends with the code
    unless the code is redeemed.

    One consent gives one code however often it is sent: by a double click, the back button, two replicas.
    None when its code was used, has expired, or was given to another person.
    """
    secret = ctx.settings.gateway_secret.get_secret_value()
    code = derived_secret(secret, "authorization codes", consent or new_secret())
    known = await ctx.tables.codes.get(digest(code))
    if known is None:
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
            expires_at=ctx.now() + lives,
        )
        if await ctx.tables.codes.add(digest(code), record, expires_at=ctx.now() + REMEMBERED):
            await ctx.clients.touch(client)
            return code
        await ctx.tables.grants.delete(given.grant_id)
        known = await ctx.tables.codes.get(digest(code))
    if known is None or known.redeemed or known.expires_at <= ctx.now():
        return None
    return code if known.identity.user_id == identity.user_id else None


async def redeem(ctx: Context, client: Client, form: Form) -> dict[str, Any]:
    """Exchange a code for tokens. Nothing is consumed until everything in the request has been checked."""
    key = digest(form.require("code"))
    code = await ctx.tables.codes.get(key)
    if code is None or code.client_id != client.client_id:
        raise InvalidGrantError(INVALID)
    if code.redeemed:
        await _revoke_reused(ctx, code)
    if code.expires_at <= ctx.now():
        raise InvalidGrantError(INVALID)
    # PKCE binds the code to the client, so OAuth 2.1 no longer asks for redirect_uri here (section 10.2).
    if form.get("redirect_uri") not in (None, code.redirect_uri):
        raise InvalidGrantError("Send the redirect_uri exactly as in the authorization request, or none.")
    _check_verifier(form.get("code_verifier"), code.code_challenge)
    resource = target.resource_within(ctx, form.resources, code.resource)
    await token_response.check_person(ctx, code.identity, client_id=code.client_id, resource=code.resource)

    lives = grant.lifetime(ctx, client)
    used = await ctx.tables.codes.update(
        key,
        lambda found: None if found.redeemed else found.model_copy(update={"redeemed": True}),
        expires_at=ctx.now() + max(lives, REMEMBERED),
    )
    if used is None or used.before.redeemed:
        await _revoke_reused(ctx, code)
    given = await grant.load(ctx, code.grant_id)
    given = given and await grant.touch(ctx, given, lives=lives)
    if given is None:
        raise InvalidGrantError("This authorization has been revoked.")
    await ctx.clients.touch(client)
    token = await refresh_token.issue(ctx, given) if client.allows_grant("refresh_token") else None
    return await token_response.bearer(ctx, given, resource=resource, scope=given.scope, refresh_token=token)


async def _revoke_reused(ctx: Context, code: AuthorizationCode) -> NoReturn:
    """Whoever has the first answer loses it too (RFC 6749 section 4.1.2)."""
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
