"""The successful answer of the token endpoint (RFC 6749 section 5.1)."""

from __future__ import annotations

from typing import Any

from ..context import Context
from ..errors import InvalidGrantError
from ..records import Grant, Identity


async def bearer(
    ctx: Context, grant: Grant, *, resource: str | None, scope: str, refresh_token: str | None = None
) -> dict[str, Any]:
    """An access token of `grant` for `resource` (None: every server)."""
    access_token, expires_in = await ctx.tokens.issue_access(grant, resource=resource, scope=scope)
    ctx.audit.record(
        "token.issue",
        outcome="issued",
        user=grant.identity.user_id if grant.identity else None,
        client=grant.client_id,
        resource=resource,
    )
    answer: dict[str, Any] = {
        "access_token": access_token,
        "token_type": "Bearer",
        "expires_in": expires_in,
        "scope": scope,
    }
    if refresh_token is not None:
        answer["refresh_token"] = refresh_token
    return answer


async def check_person(
    ctx: Context, identity: Identity | None, *, client_id: str, resource: str | None
) -> None:
    """The person behind a grant must still be admitted; otherwise no token, but the grant is kept. A login
    provider that can be asked again is asked first."""
    if identity is None:
        return
    await ctx.policy.renew(identity)
    reason = await ctx.policy.still_allowed(identity)
    if reason is not None:
        user = identity.user_id
        ctx.audit.record(
            "policy", outcome="refused", user=user, client=client_id, resource=resource, reason=reason
        )
        raise InvalidGrantError("This person is not admitted here any more.")
