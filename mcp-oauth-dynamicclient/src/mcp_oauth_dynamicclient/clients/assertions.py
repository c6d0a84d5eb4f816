"""Signed assertions (RFC 7523), as clients authenticate with and identity providers vouch by."""

from __future__ import annotations

import json
import warnings
from collections.abc import Collection, Mapping
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import import_key

from ..context import Context
from ..errors import InvalidTokenError
from ..json_object import parse_base64url, parse_object
from ..tokens import digest

ALGORITHMS = (
    "RS256", "PS256", "ES256", "EdDSA", "Ed25519", "RS384", "PS384", "ES384", "RS512", "PS512", "ES512",
)  # fmt: skip
CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521", "EdDSA": "Ed25519", "Ed25519": "Ed25519"}
RSA_BITS = range(2048, 8193)
PUBLIC_MEMBERS = ("kty", "n", "e", "crv", "x", "y")
MOST_KEYS = 20
UNUSABLE = (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError)
"""What joserfc and its backend raise for keys and tokens that a stranger wrote."""
MAX_LIFETIME = 3600.0
"""Seconds an assertion may be valid for, so that its `jti` need not be remembered longer."""
LEEWAY = 60.0
"""Seconds two clocks may differ."""
MAX_LENGTH = 16 * 1024
LATEST = 1e11
"""Seconds since the epoch that are still a date; JSON has numbers that no arithmetic survives."""


def unverified(assertion: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of a JWT before its signature is checked: to find the key, never to decide."""
    parts = assertion.split(".")
    if len(assertion) > MAX_LENGTH or len(parts) != 3:
        raise InvalidTokenError("The assertion is not a signed JWT.")
    try:
        return parse_base64url(parts[0]), parse_base64url(parts[1])
    except ValueError as error:
        raise InvalidTokenError("The assertion is not a signed JWT.") from error


def verify(
    assertion: str,
    jwks: Mapping[str, Any],
    algorithms: Collection[str],
    audiences: Collection[str],
    now: float,
) -> dict[str, Any]:
    """The claims of a JWT that a client or an identity provider signed (RFC 7523 section 3).

    Checked: the signature by a key of `jwks`; `exp`, `nbf` and `iat`; that `aud` names nobody but us. Issuer,
    subject and `jti` are the caller's to check. InvalidTokenError says what is wrong.
    """
    header, _ = unverified(assertion)
    algorithm = header.get("alg")
    if algorithm not in algorithms or algorithm not in ALGORITHMS or {"crit", "b64"} & set(header):
        raise InvalidTokenError(f"The assertion must be signed with one of {', '.join(algorithms)}.")
    keys = [key for key in _members(jwks) if _fits(key, algorithm, header.get("kid"))]
    claims: Any = None
    faults = []
    for key in keys:
        try:
            claims = _verified_by(assertion, key, algorithm)
            break
        except UNUSABLE as fault:
            faults.append(repr(fault))
    if not isinstance(claims, dict):
        detail = "; ".join(faults) or f"{len(_members(jwks))} keys, none for {algorithm} and this kid"
        raise InvalidTokenError("No key of the issuer's key set verifies the assertion.", detail=detail)
    _check_times(claims, now)
    named = claims.get("aud")
    named = [named] if isinstance(named, str) else named
    # A list with anybody else in it could be replayed by them, or by us there (RFC 7523bis).
    if not isinstance(named, list) or not named or not all(_is_one_of(one, audiences) for one in named):
        raise InvalidTokenError("The assertion must be meant for this server alone.")
    return claims


def _is_one_of(value: object, audiences: Collection[str]) -> bool:
    return isinstance(value, str) and value in audiences


def _check_times(claims: Mapping[str, Any], now: float) -> None:
    exp = _time(claims.get("exp"))
    nbf, iat = _time(claims.get("nbf", now)), _time(claims.get("iat", now))
    if exp is None or nbf is None or iat is None:
        raise InvalidTokenError("The assertion needs exp, and its times must be seconds since 1970.")
    if exp <= now - LEEWAY:
        raise InvalidTokenError("The assertion has expired.")
    if max(nbf, iat) > now + LEEWAY:
        raise InvalidTokenError("The assertion is not valid yet.")


def _time(value: object) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value <= LATEST else None  # type: ignore[operator, arg-type]


def _members(jwks: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    keys = jwks.get("keys")
    return [key for key in keys if isinstance(key, Mapping)][:MOST_KEYS] if isinstance(keys, list) else []


def _fits(key: Mapping[str, Any], algorithm: str, kid: object) -> bool:
    """Whether a JWK may verify: an asymmetric public key for signatures, of the algorithm's own type."""
    if kid is not None and key.get("kid") not in (None, kid):
        return False
    if key.get("use", "sig") != "sig" or key.get("alg", algorithm) != algorithm:
        return False
    curve = CURVES.get(algorithm)
    if curve is not None:
        return key.get("kty") == ("EC" if algorithm.startswith("ES") else "OKP") and key.get("crv") == curve
    modulus = key.get("n")
    return key.get("kty") == "RSA" and isinstance(modulus, str) and len(modulus) * 6 in RSA_BITS


def _verified_by(assertion: str, key: Mapping[str, Any], algorithm: str) -> Any:
    public = {name: value for name, value in key.items() if name in PUBLIC_MEMBERS}
    with warnings.catch_warnings():
        # `EdDSA` is the older name of Ed25519 (RFC 9864), which most clients still write.
        warnings.simplefilter("ignore", SecurityWarning)
        signed = jws.deserialize_compact(assertion, import_key(public), algorithms=[algorithm])
    return parse_object(signed.payload)


async def use_once(ctx: Context, claims: dict[str, Any]) -> None:
    """See the `jti` of a verified assertion for the first and only time, which takes a near `exp`."""
    expires, jti = _time(claims.get("exp")), claims.get("jti")
    if expires is None or not 0 < expires - ctx.now() + LEEWAY <= MAX_LIFETIME + 2 * LEEWAY:
        raise InvalidTokenError(f"The assertion must be valid for {MAX_LIFETIME:g} seconds at most.")
    if not isinstance(jti, str) or not jti:
        raise InvalidTokenError("The assertion needs a jti.")
    key = digest(json.dumps([claims.get("iss"), jti]))
    if not await ctx.store.add("jti", key, {}, expires_at=expires + LEEWAY + 1):
        raise InvalidTokenError("The assertion has been used before.")
