"""A token of the operator's own, to try a server with: short-lived, for that server only, written into the
audit log, revoked as soon as it is no longer needed. Whoever has GATEWAY_SECRET and the store can make one;
no address hands one out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from .context import Context
from .grants import grant as grants
from .records import Client
from .scopes import MCP

CLIENT_ID = "operator"
LIVES = 120
"""Seconds, for the case that nobody is left to revoke it."""


@dataclass(frozen=True, slots=True)
class Pass:
    token: str
    """For the gate."""
    statement: str
    """For the server itself: what the gate would tell it (X-Gateway-Identity)."""


@asynccontextmanager
async def issued(ctx: Context, resource: str, purpose: str) -> AsyncIterator[Pass]:
    """A pass for `resource`, a canonical address; `purpose` is its client's name in the log.

    Raises StoreUnavailableError.
    """
    client = Client(client_id=f"{CLIENT_ID}:{purpose}", metadata={"client_name": purpose}, source="dynamic")
    grant = await grants.create(
        ctx, client=client, identity=None, resource=resource, scope=MCP, lives=LIVES, ends_within=LIVES
    )
    token, lifetime = await ctx.tokens.issue_access(grant, resource=resource, scope=MCP)
    ctx.audit.record(
        "token.issue", outcome="issued", client=client.client_id, resource=resource, reason=purpose,
        lifetime=lifetime,
    )  # fmt: skip
    try:
        claims = await ctx.tokens.verify(token)
        yield Pass(token, await ctx.statements.about(grant, claims, resource))
    finally:
        await grants.revoke(ctx, grant.grant_id, f"{purpose} is done")
