"""Signed assertions (RFC 7523), as clients authenticate with and identity providers vouch by."""

from __future__ import annotations

import base64
import json
from typing import Any

from ..context import Context
from ..errors import InvalidTokenError
from ..tokens import digest

MAX_LIFETIME = 3600.0
"""Seconds an assertion may be valid for, so that its `jti` need not be remembered longer."""
LEEWAY = 60.0
"""Seconds two clocks may differ."""
MAX_LENGTH = 16 * 1024


def unverified(assertion: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of a JWT before its signature is checked: to find the key, never to decide."""
    parts = assertion.split(".")
    if len(assertion) > MAX_LENGTH or len(parts) != 3:
        raise InvalidTokenError("The assertion is not a signed JWT.")
    header, claims = (_json(part) for part in parts[:2])
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise InvalidTokenError("The assertion is not a signed JWT.")
    return header, claims


def _json(part: str) -> Any:
    try:
        return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError):
        return None


async def use_once(ctx: Context, claims: dict[str, Any]) -> None:
    """See the `jti` of a verified assertion for the first and only time, which takes a near `exp`."""
    expires, jti = claims.get("exp"), claims.get("jti")
    if (
        not isinstance(expires, int | float)
        or not 0 < expires - ctx.now() + LEEWAY <= MAX_LIFETIME + 2 * LEEWAY
    ):
        raise InvalidTokenError(f"The assertion must be valid for {MAX_LIFETIME:g} seconds at most.")
    if not isinstance(jti, str) or not jti:
        raise InvalidTokenError("The assertion needs a jti.")
    key = digest(json.dumps([claims.get("iss"), jti]))
    if not await ctx.store.add("jti", key, {}, expires_at=expires + LEEWAY + 1):
        raise InvalidTokenError("The assertion has been used before.")
