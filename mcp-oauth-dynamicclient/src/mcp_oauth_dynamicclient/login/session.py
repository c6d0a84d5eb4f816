"""A signed-in browser. The cookie holds a random secret, the store only its hash."""

from __future__ import annotations

from fastapi import Request, Response

from ..context import Context
from ..records import Identity
from ..tokens import digest, new_secret
from . import cookies

COOKIE = "session"


async def start(ctx: Context, request: Request, response: Response, identity: Identity) -> None:
    """Sign the browser in under a new secret; the one before is signed out."""
    await end(ctx, request, response)
    secret = new_secret()
    lifetime = ctx.settings.session_lifetime
    await ctx.tables.sessions.put(
        digest(secret),
        identity,
        expires_at=ctx.now() + lifetime,
        owners=[f"user:{identity.user_id}"],
    )
    cookies.write(ctx, response, COOKIE, secret, lifetime)


async def current(ctx: Context, request: Request) -> Identity | None:
    """Who is signed in, if they are still admitted."""
    secret = cookies.read(ctx, request, COOKIE)
    identity = await ctx.tables.sessions.get(digest(secret)) if secret else None
    if identity is None:
        return None
    return None if await ctx.policy.still_allowed(identity) else identity


async def end(ctx: Context, request: Request, response: Response) -> None:
    secret = cookies.read(ctx, request, COOKIE)
    if secret:
        await ctx.tables.sessions.delete(digest(secret))
    cookies.forget(ctx, response, COOKIE)
