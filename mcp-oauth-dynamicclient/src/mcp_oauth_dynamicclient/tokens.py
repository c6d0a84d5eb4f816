"""Secrets and tokens: RS256 access tokens (RFC 9068) and the assertions of clients (RFC 7523).

The only module that knows python-jose. Algorithms are pinned by the caller, never read from a token.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from jose import jwk, jws
from jose.backends.base import Key
from jose.exceptions import JOSEError

from .errors import InvalidTokenError
from .keys import KeyRing
from .records import Grant
from .settings import Settings

ALGORITHM = "RS256"
ASSERTION_ALGORITHMS = ("RS256", "RS384", "RS512", "ES256", "ES384", "ES512")
MAX_TOKEN = 8192
REMEMBERED = 4096
"""Verified tokens whose signature is not computed again."""
CLOCK_SKEW = 60
"""Seconds by which a client's clock may be wrong in its assertions."""
RSA_BITS = range(2048, 8193)


def new_secret(prefix: str = "") -> str:
    """256 random bits, safe in URLs, headers and forms."""
    return prefix + secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """The SHA-256 (hex) under which a random secret is stored; passwords are hashed elsewhere, slowly."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


class Tokens:
    def __init__(self, settings: Settings, keys: KeyRing, now: Callable[[], float] = time.time) -> None:
        self._issuer = settings.issuer
        self._lifetime = settings.access_token_lifetime
        self._keys = keys
        self._now = now
        self._verified: OrderedDict[bytes, tuple[str, dict[str, Any]]] = OrderedDict()
        self._usable: dict[tuple[str, bool], Key] = {}

    async def issue_access(self, grant: Grant, *, resource: str | None, scope: str) -> tuple[str, int]:
        """An access token for one server, or with `resource` None for all, and its lifetime in seconds."""
        key = await self._keys.signing()
        now = int(self._now())
        claims: dict[str, Any] = {
            "iss": self._issuer,
            "sub": subject(grant),
            "aud": resource or self._issuer,
            "exp": now + self._lifetime,
            "iat": now,
            "jti": secrets.token_urlsafe(16),
            "client_id": grant.client_id,
            "scope": scope,
            "grant_id": grant.grant_id,
        }
        if grant.identity is not None:
            claims["name"] = grant.identity.name or grant.identity.login
        private = self._key(key.kid, key.private_pem, private=True)
        headers = {"typ": "at+jwt", "kid": key.kid}
        return jws.sign(claims, private, headers=headers, algorithm=ALGORITHM), self._lifetime

    async def verify(self, token: str) -> dict[str, Any]:
        """The claims of an access token of ours that has not expired; InvalidTokenError says what is wrong.

        Audience and revocation are the caller's to check. StoreUnavailable when the keys cannot be read.
        """
        if self._keys.stale:
            await self._keys.refresh()
        name = fingerprint(token)
        if name not in self._verified:
            kid = _header(token).get("kid")
            if isinstance(kid, str) and self._keys.find(kid) is None:
                await self._keys.seek(kid)
        return self._claims(name, token)

    def remembered(self, name: bytes) -> dict[str, Any] | None:
        """The claims of the token with this fingerprint, if it was verified before and still holds."""
        known = self._verified.get(name)
        if known is None or self._keys.stale or self._keys.find(known[0]) is None:
            return None
        return known[1] if known[1]["exp"] > self._now() else None

    def verify_signature(self, token: str) -> dict[str, Any]:
        """As `verify`, by the keys that were read last."""
        return self._claims(fingerprint(token), token)

    def _claims(self, name: bytes, token: str) -> dict[str, Any]:
        known = self._verified.get(name)
        if known is None or self._keys.find(known[0]) is None:
            known = self._verify(token)
            self._verified[name] = known
            if len(self._verified) > REMEMBERED:
                self._verified.popitem(last=False)
        else:
            self._verified.move_to_end(name)
        claims = known[1]
        if claims["exp"] <= self._now():
            raise InvalidTokenError("The access token has expired.")
        return claims

    def _verify(self, token: str) -> tuple[str, dict[str, Any]]:
        header = _header(token)
        kid = header.get("kid")
        key = self._keys.find(kid) if isinstance(kid, str) else None
        if key is None or header.get("alg") != ALGORITHM or header.get("typ") != "at+jwt" or "crit" in header:
            raise InvalidTokenError("The access token was not issued by this server.")
        public = self._key(key.kid, key.public, private=False)
        try:
            claims = json.loads(jws.verify(token, public, [ALGORITHM]))
        except (JOSEError, ValueError):
            raise InvalidTokenError("The signature of the access token is wrong.") from None
        if claims.get("iss") != self._issuer:
            raise InvalidTokenError("The access token was not issued by this server.")
        return key.kid, claims

    def decode_assertion(
        self,
        token: str,
        jwks: Mapping[str, Any],
        algorithms: Sequence[str],
        audience: str | Collection[str],
    ) -> dict[str, Any]:
        """The claims of a JWT that a client or identity provider signed (RFC 7523 section 3).

        Checked: signature by a key of `jwks`, `exp`, `nbf`, `iat` and `aud` (one of `audience`). What issuer,
        subject and `jti` must be is the caller's to check. InvalidTokenError says what is wrong.
        """
        header = _header(token)
        algorithm = header.get("alg")
        if algorithm not in algorithms or algorithm not in ASSERTION_ALGORITHMS or "crit" in header:
            raise InvalidTokenError(f"The assertion must be signed with one of {', '.join(algorithms)}.")
        keys = [key for key in _members(jwks) if _fits(key, algorithm, header.get("kid"))]
        claims = next(filter(None, (_verified_by(token, key, algorithm) for key in keys)), None)
        if claims is None:
            raise InvalidTokenError("No key of the issuer's key set verifies the assertion.")
        self._check_times(claims)
        accepted = {audience} if isinstance(audience, str) else set(audience)
        named = claims.get("aud")
        named = [named] if isinstance(named, str) else named
        if not isinstance(named, list) or not any(isinstance(one, str) and one in accepted for one in named):
            raise InvalidTokenError("The assertion is meant for another audience.")
        return claims

    def _check_times(self, claims: Mapping[str, Any]) -> None:
        now = self._now()
        exp = _number(claims.get("exp"))
        nbf, iat = _number(claims.get("nbf", now)), _number(claims.get("iat", now))
        if exp is None or nbf is None or iat is None:
            raise InvalidTokenError("The assertion needs exp, and its times must be numbers.")
        if exp <= now - CLOCK_SKEW:
            raise InvalidTokenError("The assertion has expired.")
        if max(nbf, iat) > now + CLOCK_SKEW:
            raise InvalidTokenError("The assertion is not valid yet.")

    def _key(self, kid: str, material: str | Mapping[str, str], *, private: bool) -> Key:
        key = self._usable.get((kid, private))
        if key is None:
            key = jwk.construct(material, ALGORITHM)  # type: ignore[arg-type]  # the stub omits JWK mappings
            self._usable[kid, private] = key
        return key


def subject(grant: Grant) -> str:
    """`sub` and `X-User-Id`: the person, or `client:<client_id>` for a machine (RFC 9068 section 2.2)."""
    return grant.identity.user_id if grant.identity else f"client:{grant.client_id}"


def fingerprint(token: str) -> bytes:
    """What a token is remembered by, instead of itself."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _header(token: str) -> dict[str, Any]:
    if len(token) > MAX_TOKEN or not token.isascii() or token.count(".") != 2:
        raise InvalidTokenError("This is not a token of this server.")
    try:
        return jws.get_unverified_header(token)
    except JOSEError:
        raise InvalidTokenError("This is not a token of this server.") from None


def _number(value: object) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _members(jwks: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    keys = jwks.get("keys")
    return [key for key in keys if isinstance(key, Mapping)][:20] if isinstance(keys, list) else []


def _fits(key: Mapping[str, Any], algorithm: str, kid: object) -> bool:
    """Whether a JWK may verify: an asymmetric public key for signatures, of the algorithm's own type."""
    if kid is not None and key.get("kid") not in (None, kid):
        return False
    if key.get("use", "sig") != "sig" or key.get("alg", algorithm) != algorithm:
        return False
    if algorithm.startswith("ES"):
        curve = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}[algorithm]
        return key.get("kty") == "EC" and key.get("crv") == curve
    modulus = key.get("n")
    return key.get("kty") == "RSA" and isinstance(modulus, str) and len(modulus) * 6 in RSA_BITS


def _verified_by(token: str, key: Mapping[str, Any], algorithm: str) -> dict[str, Any] | None:
    public = {name: value for name, value in key.items() if name in ("kty", "n", "e", "crv", "x", "y")}
    try:
        usable = jwk.construct(public, algorithm)
        claims = json.loads(jws.verify(token, usable, [algorithm]))
    except (JOSEError, ValueError, TypeError, AttributeError):
        return None
    return claims if isinstance(claims, dict) else None
