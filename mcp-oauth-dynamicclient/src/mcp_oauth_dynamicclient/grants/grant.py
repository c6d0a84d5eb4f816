"""The grant: one person's permission for one client at one server, and the root every token hangs from.

Deleting the grant is what revoking means: `/verify`, refresh and introspection all look for it.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

from ..context import Context
from ..records import Client, Grant, Identity

UNASKED_LIFETIME = 30 * 86400
"""Seconds until somebody whose OpenID provider gave no refresh token signs in there again."""


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
    ends_within: float | None = None,
) -> Grant:
    """A new grant that ends in `lives` seconds unless it is used, and in `ends_within` however much it is."""
    now = ctx.now()
    ends_at = now + (await _longest(ctx, identity) if ends_within is None else ends_within)
    grant = Grant(
        grant_id=secrets.token_urlsafe(16),
        client_id=client.client_id,
        client_name=client.name,
        identity=identity,
        resource=resource,
        scope=scope,
        created_at=now,
        last_used_at=now,
        ends_at=ends_at,
        redirect_host=redirect_host,
    )
    owners = [f"client:{client.client_id}"]
    if identity is not None:
        owners.append(f"user:{identity.user_id}")
    await ctx.tables.grants.add(grant.grant_id, grant, expires_at=min(now + lives, ends_at), owners=owners)
    return grant


async def _longest(ctx: Context, identity: Identity | None) -> float:
    """Seconds a grant may live however much it is used. Where an OpenID provider cannot be asked again,
    nobody tells us that somebody was disabled there, so they have to come by more often."""
    longest = ctx.settings.grant_lifetime
    if identity is None or identity.provider != "oidc" or await ctx.policy.can_ask_again(identity):
        return longest
    return min(longest, UNASKED_LIFETIME)


def expiry(ctx: Context, grant: Grant, lives: float) -> float:
    """When the grant expires that is used now and lives `lives` seconds after its last use."""
    end = grant.created_at + ctx.settings.grant_lifetime if grant.ends_at is None else grant.ends_at
    return min(ctx.now() + lives, end)


async def load(ctx: Context, grant_id: str) -> Grant | None:
    return await ctx.tables.grants.get(grant_id)


async def touch(ctx: Context, grant: Grant, *, lives: float) -> Grant | None:
    """Note a use and let the grant live `lives` seconds from now; None when it has been revoked."""
    used = {"last_used_at": ctx.now()}
    updated = await ctx.tables.grants.update(
        grant.grant_id,
        lambda found: found.model_copy(update=used),
        expires_at=expiry(ctx, grant, lives),
    )
    return None if updated is None else updated.after


async def revoke(ctx: Context, grant_id: str, why: str) -> bool:
    """Delete the grant and with it every token issued from it; False when there was none."""
    grant = await ctx.tables.grants.get(grant_id)
    deleted = await ctx.tables.grants.delete(grant_id)
    async for key, _ in ctx.tables.refresh_tokens.list(f"grant:{grant_id}"):
        await ctx.tables.refresh_tokens.delete(key)
    if deleted and grant is not None:
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
    keys = [key async for key, _ in ctx.tables.grants.list(owner)]
    return sum([await revoke(ctx, key, why) for key in keys])


async def list_user(ctx: Context, user_id: str) -> AsyncIterator[Grant]:
    """A person's live grants."""
    async for _, grant in ctx.tables.grants.list(f"user:{user_id}"):
        yield grant
