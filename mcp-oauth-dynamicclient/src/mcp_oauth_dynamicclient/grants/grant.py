"""The grant: one person's permission for one client at one server, and the root every token hangs from.

Deleting the grant is what revoking means: `/verify`, refresh and introspection all look for it.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

from ..context import Context
from ..records import Client, Grant, Identity

SWAP_ATTEMPTS = 50
"""Each lost swap means that somebody else's succeeded; more than a burst of requests can cause."""


def lifetime(ctx: Context, client: Client) -> float:
    """Seconds a grant lives after its last use: a refresh token's life, or an access token's without one."""
    if client.allows_grant("refresh_token"):
        return ctx.settings.refresh_token_lifetime
    return ctx.settings.access_token_lifetime


async def create(
    ctx: Context,
    *,
    client: Client,
    identity: Identity | None,
    resource: str | None,
    scope: str,
    redirect_host: str = "",
    lives: float,
) -> Grant:
    """A new grant that ends in `lives` seconds unless it is used."""
    now = ctx.now()
    grant = Grant(
        grant_id=secrets.token_urlsafe(16),
        client_id=client.client_id,
        client_name=client.name,
        identity=identity,
        resource=resource,
        scope=scope,
        created_at=now,
        last_used_at=now,
        redirect_host=redirect_host,
    )
    owners = [f"client:{client.client_id}"]
    if identity is not None:
        owners.append(f"user:{identity.user_id}")
    await ctx.store.add("grant", grant.grant_id, grant.model_dump(), expires_at=now + lives, owners=owners)
    return grant


async def load(ctx: Context, grant_id: str) -> Grant | None:
    entry = await ctx.store.get("grant", grant_id)
    return None if entry is None else Grant.model_validate(entry.value)


async def touch(ctx: Context, grant_id: str, *, lives: float) -> Grant | None:
    """Note a use and let the grant live `lives` seconds from now; None when it has been revoked."""
    for _ in range(SWAP_ATTEMPTS):
        entry = await ctx.store.get("grant", grant_id)
        if entry is None:
            return None
        now = ctx.now()
        grant = Grant.model_validate(entry.value).model_copy(update={"last_used_at": now})
        expires = max(now + lives, entry.expires_at or 0)
        if await ctx.store.swap("grant", grant_id, entry.version, grant.model_dump(), expires_at=expires):
            return grant
    return await load(ctx, grant_id)


async def revoke(ctx: Context, grant_id: str, why: str) -> bool:
    """Delete the grant and with it every token issued from it; False when there was none."""
    entry = await ctx.store.get("grant", grant_id)
    deleted = await ctx.store.delete("grant", grant_id)
    async for token in ctx.store.list("refresh_token", f"grant:{grant_id}"):
        await ctx.store.delete("refresh_token", token.key)
    if deleted and entry is not None:
        grant = Grant.model_validate(entry.value)
        ctx.audit.record(
            "grant.revoke",
            outcome="revoked",
            user=grant.identity.user_id if grant.identity else None,
            client=grant.client_id,
            resource=grant.resource,
            reason=why,
        )
    return deleted


async def revoke_client(ctx: Context, client_id: str, why: str) -> int:
    """Revoke everything a client holds; the number of grants."""
    return await _revoke_owner(ctx, f"client:{client_id}", why)


async def revoke_user(ctx: Context, user_id: str, why: str) -> int:
    """Revoke everything a person has granted; the number of grants."""
    return await _revoke_owner(ctx, f"user:{user_id}", why)


async def _revoke_owner(ctx: Context, owner: str, why: str) -> int:
    keys = [entry.key async for entry in ctx.store.list("grant", owner)]
    return sum([await revoke(ctx, key, why) for key in keys])


async def list_user(ctx: Context, user_id: str) -> AsyncIterator[Grant]:
    """A person's live grants."""
    async for entry in ctx.store.list("grant", f"user:{user_id}"):
        yield Grant.model_validate(entry.value)
