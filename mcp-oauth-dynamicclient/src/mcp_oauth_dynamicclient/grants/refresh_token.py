"""The refresh token grant (RFC 6749 section 6): rotation, reuse detection, and grace for a lost answer.

A token carries the generation of its grant in which it was issued. The current generation rotates; the one
before is answered again until a token of the current generation has been used; anything older has been
copied, and ends the grant.
"""

from __future__ import annotations

from typing import Any, NoReturn

from ..context import Context
from ..errors import InvalidGrantError, TemporarilyUnavailableError
from ..forms import Form
from ..records import Client, Grant, RefreshToken
from ..tokens import digest, new_secret
from . import answer, grant, target

INVALID = "The refresh token is unknown, expired or revoked; sign in again."


async def issue(ctx: Context, given: Grant) -> str:
    """A refresh token of the grant's current generation."""
    token = new_secret()
    record = RefreshToken(grant_id=given.grant_id, client_id=given.client_id, generation=given.generation)
    await ctx.store.put(
        "refresh_token",
        digest(token),
        record.model_dump(),
        expires_at=ctx.now() + ctx.settings.refresh_token_lifetime,
        owners=[f"grant:{given.grant_id}"],
    )
    return token


async def redeem(ctx: Context, client: Client, form: Form) -> dict[str, Any]:
    """Exchange a refresh token for new tokens; nothing rotates until everything has been checked."""
    entry = await ctx.store.get("refresh_token", digest(form.require("refresh_token")))
    if entry is None:
        raise InvalidGrantError(INVALID)
    token = RefreshToken.model_validate(entry.value)
    if token.client_id != client.client_id:
        raise InvalidGrantError(INVALID)
    given = await grant.load(ctx, token.grant_id)
    if given is None:
        raise InvalidGrantError(INVALID)
    if token.generation < given.generation - 1:
        await _reused(ctx, given)
    resource = target.resource_within(ctx, form, given.resource)
    scope = target.scope_within(form, given)
    await answer.check_person(ctx, given.identity, client_id=given.client_id, resource=given.resource)
    given = await _rotate(ctx, token)
    await ctx.clients.touch(client)
    successor = await issue(ctx, given)
    return await answer.bearer(ctx, given, resource=resource, scope=scope, refresh_token=successor)


async def _rotate(ctx: Context, token: RefreshToken) -> Grant:
    """Bring the grant to the generation after the token's: of many at once, one does, the others see it."""
    for _ in range(grant.SWAP_ATTEMPTS):
        entry = await ctx.store.get("grant", token.grant_id)
        if entry is None:
            raise InvalidGrantError(INVALID)
        current = Grant.model_validate(entry.value)
        if token.generation < current.generation - 1:
            await _reused(ctx, current)
        if token.generation == current.generation - 1:
            return current
        now = ctx.now()
        rotated = current.model_copy(update={"generation": current.generation + 1, "last_used_at": now})
        expires_at = now + ctx.settings.refresh_token_lifetime
        if await ctx.store.swap(
            "grant", token.grant_id, entry.version, rotated.model_dump(), expires_at=expires_at
        ):
            return rotated
    raise TemporarilyUnavailableError("This authorization is in use by too many requests at once; try again.")


async def _reused(ctx: Context, given: Grant) -> NoReturn:
    await grant.revoke(ctx, given.grant_id, "refresh token used again after its successor")
    raise InvalidGrantError(INVALID)
