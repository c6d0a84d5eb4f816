"""The refresh token grant (RFC 6749 section 6): rotation, and theft noticed (RFC 9700 section 4.14.2).

One refresh token of a grant is in use. Using it makes it the predecessor of a new one. The predecessor is
answered again as long as its successor is unused: within GRACE seconds with the same successor, since several
windows may share a token; later with a new one that replaces the successor, since an answer may have been
lost while a laptop slept. A token that was replaced or is older still has been copied, and ends the grant.
"""

from __future__ import annotations

from typing import Any, NoReturn

from .. import scopes
from ..context import Context
from ..errors import InvalidGrantError
from ..forms import Form
from ..records import Client, Grant, RefreshToken
from ..sealing import derived_secret
from ..tokens import digest, new_secret
from . import grant, target, token_response

GRACE = 60
"""Seconds for which the same predecessor gets the same successor."""
INVALID = "The refresh token is unknown, expired or revoked; sign in again."


async def issue(ctx: Context, given: Grant) -> str:
    """The first refresh token of a grant."""
    token = new_secret()
    await _keep(ctx, given, token)
    return token


async def redeem(ctx: Context, client: Client, form: Form) -> dict[str, Any]:
    """Exchange a refresh token for new tokens; nothing rotates until everything has been checked."""
    secret = form.require("refresh_token")
    token = await ctx.tables.refresh_tokens.get(digest(secret))
    if token is None or token.client_id != client.client_id:
        raise InvalidGrantError(INVALID)
    given = await grant.load(ctx, token.grant_id)
    if given is None:
        raise InvalidGrantError(INVALID)
    if not is_live(token, given):
        await _revoke_stolen(ctx, given)
    resource = target.resource_within(ctx, form.resources, given.resource)
    scope = scopes.within(form.get("scope"), given.scope)
    await token_response.check_person(ctx, given.identity, client_id=given.client_id, resource=given.resource)
    given = await _rotate(ctx, token, given)
    await ctx.clients.touch(client)
    successor = _successor(ctx, secret, given.generation)
    # Kept after the rotation: whoever repeats the request after a crash in between gets here again.
    await _keep(ctx, given, successor)
    return await token_response.bearer(ctx, given, resource=resource, scope=scope, refresh_token=successor)


def is_live(token: RefreshToken, given: Grant) -> bool:
    """Whether the token is the one in use, or the predecessor of one that has not been used."""
    return token.generation in (given.generation, given.predecessor)


def rotated(given: Grant, token: RefreshToken, now: float) -> Grant:
    """The grant after a live token was presented; its generation is that of the successor to answer with."""
    used = {"last_used_at": now}
    if token.generation == given.predecessor and now - given.rotated_at <= GRACE:
        return given.model_copy(update=used)
    return given.model_copy(
        update={
            "generation": given.generation + 1,
            "predecessor": token.generation,
            "rotated_at": now,
            **used,
        }
    )


async def _rotate(ctx: Context, token: RefreshToken, given: Grant) -> Grant:
    """Of many requests at once one rotates; the others find the token to be the predecessor."""
    expires_at = grant.expiry(ctx, given, ctx.settings.refresh_token_lifetime)
    updated = await ctx.tables.grants.update(
        given.grant_id,
        lambda found: rotated(found, token, ctx.now()) if is_live(token, found) else None,
        expires_at=expires_at,
    )
    if updated is None:
        raise InvalidGrantError(INVALID)
    if not is_live(token, updated.after):
        await _revoke_stolen(ctx, updated.after)
    return updated.after


def _successor(ctx: Context, token: str, generation: int) -> str:
    """Derived, so that it can be answered again although only its hash is stored. That takes the predecessor
    and GATEWAY_SECRET, both."""
    secret = ctx.settings.gateway_secret.get_secret_value()
    return derived_secret(secret, "refresh tokens", f"{generation} {token}")


async def _keep(ctx: Context, given: Grant, token: str) -> None:
    record = RefreshToken(grant_id=given.grant_id, client_id=given.client_id, generation=given.generation)
    await ctx.tables.refresh_tokens.put(
        digest(token),
        record,
        expires_at=grant.expiry(ctx, given, ctx.settings.refresh_token_lifetime),
        owners=[f"grant:{given.grant_id}"],
    )


async def _revoke_stolen(ctx: Context, given: Grant) -> NoReturn:
    """Thief and victim cannot be told apart, so both lose the grant."""
    await grant.revoke(ctx, given.grant_id, "a refresh token was used again that had been replaced")
    raise InvalidGrantError(INVALID)
