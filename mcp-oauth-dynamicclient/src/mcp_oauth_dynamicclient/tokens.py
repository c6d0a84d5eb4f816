"""Secrets and access tokens: JWTs signed with RS256 (RFC 9068).

The only module that knows python-jose. Algorithms are pinned by the caller, never read from a token.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from jose import jwk, jws
from jose.backends.base import Key
from jose.exceptions import JOSEError

from .errors import InvalidTokenError
from .json_object import parse_base64url
from .keys import KeyRing
from .records import Grant
from .settings import Settings

ALGORITHM = "RS256"
MAX_TOKEN = 8192
REMEMBERED = 4096
"""Verified tokens whose signature is not computed again."""


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
        """An access token for one server, or with `resource` None for all, and its lifetime in seconds, which
        does not go beyond the grant's end."""
        key = await self._keys.signing()
        now = int(self._now())
        lifetime = self._lifetime if grant.ends_at is None else min(self._lifetime, int(grant.ends_at) - now)
        claims: dict[str, Any] = {
            "iss": self._issuer,
            "sub": subject(grant),
            "aud": resource or self._issuer,
            "exp": now + lifetime,
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
        return jws.sign(claims, private, headers=headers, algorithm=ALGORITHM), lifetime

    async def verify(self, token: str) -> dict[str, Any]:
        """The claims of an access token of ours that has not expired; InvalidTokenError says what is wrong.

        Audience and revocation are the caller's to check. StoreUnavailableError when the keys cannot be read.
        """
        if self._keys.stale:
            await self._keys.refresh()
        name = fingerprint(token)
        if name not in self._verified:
            kid = _header(token).get("kid")
            if isinstance(kid, str) and self._keys.find(kid) is None:
                await self._keys.seek(kid)
        return self._claims(name, token)

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
        except (JOSEError, ValueError) as error:
            raise InvalidTokenError("The signature of the access token is wrong.") from error
        if claims.get("iss") != self._issuer:
            raise InvalidTokenError("The access token was not issued by this server.")
        return key.kid, claims

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
        return parse_base64url(token.partition(".")[0])
    except ValueError as error:
        raise InvalidTokenError("This is not a token of this server.") from error
