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
    """Check the times of a verified assertion and see its `jti` for the first and only time."""
    now = ctx.now()
    expires, issued, jti = _time(claims.get("exp")), _time(claims.get("iat", now)), claims.get("jti")
    if expires is None or issued is None:
        raise InvalidTokenError("The assertion needs exp, and iat if it has one, as numbers.")
    if expires <= now - LEEWAY:
        raise InvalidTokenError("The assertion has expired.")
    if expires > now + MAX_LIFETIME + LEEWAY:
        raise InvalidTokenError(f"The assertion is valid for too long; at most {MAX_LIFETIME:g} seconds.")
    if issued > now + LEEWAY:
        raise InvalidTokenError("The assertion was issued in the future; check the clock.")
    if not isinstance(jti, str) or not jti:
        raise InvalidTokenError("The assertion needs a jti.")
    key = digest(json.dumps([claims.get("iss"), jti]))
    if not await ctx.store.add("jti", key, {}, expires_at=expires + LEEWAY + 1):
        raise InvalidTokenError("The assertion has been used before.")


def _time(value: object) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e12
    return float(value) if is_number else None  # type: ignore[arg-type]  # a number, as just seen
