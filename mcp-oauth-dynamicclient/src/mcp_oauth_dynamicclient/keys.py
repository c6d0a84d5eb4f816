"""The keys that sign: RSA for access tokens, P-256 for the identity statements that servers check.

They live in the store, the private part sealed under GATEWAY_SECRET, so every replica signs and verifies with
the same ones. The newest key signs, but not before every replica publishes it: whoever checks a signature
asks any of them for the keys. Rotation gives its predecessors an end, later than every token they signed, and
so logs nobody out. A key that cannot be unsealed (GATEWAY_SECRET was changed) counts for nothing.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ._common import identity_header
from .sealing import Seal
from .settings import Settings
from .store import Entry, Kind, Store

KEY_BITS = 2048
FRESH = 0.5
"""Seconds for which a replica relies on the keys it has read."""
KNOWN_AFTER = 60.0
"""Seconds from its making until a key signs, if there is another: longer than a replica relies on what it has
read, than a server waits before it asks for an unknown key again, and than clocks may differ."""
OVERLAP = 600
"""Seconds that a replaced key outlives the last token it can have signed."""
ROTATION_LOCK = 60.0
"""Seconds after which another replica may do what one began, which may have ended meanwhile."""

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class SigningKey:
    kid: str
    created_at: float
    expires_at: float | None
    """When a replaced key leaves; None for the one that signs."""
    public: dict[str, str]
    """The JWK as `/jwks` publishes it (RFC 7517)."""
    private_pem: str = field(repr=False)


class KeyRing:
    """Keys of one kind, each kind under a name of its own in the store."""

    kind: Kind = "key"
    purpose = "signing keys"

    def __init__(self, settings: Settings, store: Store, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._now = now
        self._seal = Seal(settings.gateway_secret.get_secret_value(), self.purpose, now)
        self._rotate_after = settings.key_rotation_interval
        self._signs_for = self._lifetime(settings)
        self._retire_after = self._signs_for + OVERLAP
        self._keys: dict[str, SigningKey] = {}
        self._read_at = float("-inf")
        self._reads = 0
        self._reading = asyncio.Lock()

    def find(self, kid: str) -> SigningKey | None:
        """A key among those read last; see `refresh`."""
        return self._keys.get(kid)

    @property
    def stale(self) -> bool:
        return not 0 <= self._now() - self._read_at < FRESH

    async def refresh(self) -> None:
        """Read the keys again unless that was done a moment ago. Raises StoreUnavailableError."""
        if self.stale:
            async with self._reading:
                if self.stale:
                    await self._read()

    async def seek(self, kid: str) -> SigningKey | None:
        """A key that another replica may have made this very moment; a crowd of seekers reads once."""
        await self.refresh()
        asked = self._reads
        if kid not in self._keys:
            async with self._reading:
                if self._reads == asked:
                    await self._read()
        return self._keys.get(kid)

    async def signing(self) -> SigningKey:
        """The key to sign with: made on first use, replaced when it has served its time."""
        await self.refresh()
        newest = self._newest()
        if newest is None:
            newest = await self._first()
        due = self._now() >= newest.created_at + self._rotate_after
        if due and await self._store.increment(f"rotate:{newest.kid}", window=ROTATION_LOCK) == 1:
            await self.rotate()
        return self._signs() or newest

    async def published(self) -> list[SigningKey]:
        """Every key that verifies, newest first."""
        await self.signing()
        return sorted(self._keys.values(), key=_age, reverse=True)

    async def rotate(self) -> SigningKey:
        """A new key, which soon signs; the others stay until no token of theirs is alive."""
        new = await self._create()
        ends = self._now() + self._retire_after
        async for entry in self._store.list(self.kind):
            if entry.key != new.kid and entry.expires_at is None:
                await self._store.swap(self.kind, entry.key, entry.version, entry.value, expires_at=ends)
        await self._read()
        return new

    async def remove(self, kid: str) -> bool:
        """Forget a key at once: every token it signed is refused from now on. For a key that leaked."""
        removed = await self._store.delete(self.kind, kid)
        await self._read()
        return removed

    async def _first(self) -> SigningKey:
        """Made by one replica while the others wait: with two, one would sign before everybody knows it."""
        while True:
            ends = self._now() + ROTATION_LOCK
            if await self._store.add("first_key", self.kind, {}, expires_at=ends):
                try:
                    await self._read()
                    return self._newest() or await self._create()
                finally:
                    await self._store.delete("first_key", self.kind)
            await asyncio.sleep(FRESH)
            await self._read()
            if (made := self._newest()) is not None:
                return made

    async def _create(self) -> SigningKey:
        private = await asyncio.to_thread(self._make)
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        public = jwk_of(private.public_key())
        sealed = self._seal.seal({"pem": pem})
        value = {"public": public, "private": sealed, "created_at": self._now()}
        await self._store.put(self.kind, public["kid"], value)
        await self._read()
        return self._keys[public["kid"]]

    async def _read(self) -> None:
        started = self._now()
        self._reads += 1
        keys = [self._open(entry) async for entry in self._store.list(self.kind)]
        self._keys = {key.kid: key for key in keys if key is not None}
        self._read_at = started

    def _open(self, entry: Entry) -> SigningKey | None:
        known = self._keys.get(entry.key)
        if known is not None and known.expires_at == entry.expires_at:
            return known
        secret = self._seal.open(entry.value["private"])
        if secret is None:
            return None
        created_at = entry.value["created_at"]
        return SigningKey(entry.key, created_at, entry.expires_at, entry.value["public"], secret["pem"])

    def _make(self) -> PrivateKey:
        return new_private_key()

    def _lifetime(self, settings: Settings) -> int:
        """Seconds that the longest-lived signature is good for."""
        return settings.access_token_lifetime

    def _newest(self) -> SigningKey | None:
        current = [key for key in self._keys.values() if key.expires_at is None]
        return max(current, key=_age, default=None)

    def _signs(self) -> SigningKey | None:
        """The newest of those that everybody knows by now, else the oldest."""
        now = self._now()
        usable = [
            key
            for key in self._keys.values()
            if key.expires_at is None or key.expires_at >= now + self._signs_for
        ]
        known = [key for key in usable if key.created_at <= now - KNOWN_AFTER]
        return max(known, key=_age, default=None) or min(usable, key=lambda key: key.created_at, default=None)


class StatementKeyRing(KeyRing):
    """The keys of identity statements. No access token is ever signed by one, nor the reverse."""

    kind: Kind = "statement_key"
    purpose = "identity statement keys"

    def _make(self) -> PrivateKey:
        return ec.generate_private_key(ec.SECP256R1())

    def _lifetime(self, settings: Settings) -> int:
        return identity_header.LIFETIME


def new_private_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)


def _age(key: SigningKey) -> tuple[bool, float, str]:
    return key.expires_at is None, key.created_at, key.kid


def jwk_of(public: rsa.RSAPublicKey | ec.EllipticCurvePublicKey) -> dict[str, str]:
    """The JWK of a public key, named by its thumbprint (RFC 7638)."""
    if isinstance(public, rsa.RSAPublicKey):
        rsa_numbers = public.public_numbers()
        members = {"e": _base64url(rsa_numbers.e), "kty": "RSA", "n": _base64url(rsa_numbers.n)}
        algorithm = "RS256"
    else:
        point = public.public_numbers()
        x, y = (_base64url(number, 32) for number in (point.x, point.y))
        members = {"crv": "P-256", "kty": "EC", "x": x, "y": y}
        algorithm = identity_header.ALGORITHM
    thumbprint = hashlib.sha256(json.dumps(members, separators=(",", ":"), sort_keys=True).encode()).digest()
    kid = base64.urlsafe_b64encode(thumbprint).rstrip(b"=").decode()
    return {**members, "use": "sig", "alg": algorithm, "kid": kid}


def _base64url(number: int, length: int = 0) -> str:
    octets = number.to_bytes(length or (number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def public_keys(keys: list[SigningKey]) -> dict[str, Any]:
    """The JWK Set (RFC 7517 section 5)."""
    return {"keys": [key.public for key in keys]}
