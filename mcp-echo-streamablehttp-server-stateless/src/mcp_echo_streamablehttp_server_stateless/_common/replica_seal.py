"""What the replicas of one service share: ids that name their owner, and proofs that a sibling speaks.

Both hang on one secret of that service's own. A server never has the gateway's: what it runs could read it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os

_NONCE = 12
_LONGEST = 65_536
"""Characters of a sealed text that are looked at; a `requestState` may be long, a session id is short."""


class ReplicaSeal:
    """`secret`: at least 32 octets that every replica has and nobody else."""

    def __init__(self, secret: bytes) -> None:
        # Eight megabytes that a single instance does without.
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._forged = InvalidTag
        self._cipher = AESGCM(_derived(secret, b"seal"))
        self._proof = _derived(secret, b"proof")
        self._places = _derived(secret, b"places")

    def close(self, owner: str, inner: str, purpose: str) -> str:
        """A text that only a replica can make or read, by AES-256-GCM: who owns `inner`, and that itself.

        What was made for one purpose does not open for another.
        """
        nonce = os.urandom(_NONCE)
        plain = f"{owner} {inner}".encode("utf-8", "surrogatepass")
        sealed = nonce + self._cipher.encrypt(nonce, plain, purpose.encode())
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def open(self, text: str, purpose: str) -> tuple[str, str] | None:
        """The owner's address and the inner text; None for what no replica made for this purpose."""
        if len(text) > _LONGEST:
            return None
        try:
            padded = text.encode("ascii") + b"=" * (-len(text) % 4)
            sealed = base64.b64decode(padded, altchars=b"-_", validate=True)
            plain = self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], purpose.encode())
        except (self._forged, binascii.Error, ValueError):
            return None
        owner, _, inner = plain.decode("utf-8", "surrogatepass").partition(" ")
        return owner, inner

    def proof(self, *parts: bytes) -> str:
        """HMAC-SHA256 over the parts, in hexadecimal; no two lists of parts have the same."""
        mac = hmac.new(self._proof, digestmod=hashlib.sha256)
        for part in parts:
            mac.update(len(part).to_bytes(8, "big") + part)
        return mac.hexdigest()

    def weight(self, place: str, key: str) -> bytes:
        """How much a place is the one for a key. Nobody without the secret can choose keys for a place."""
        return hashlib.blake2b(f"{place} {key}".encode("utf-8", "surrogatepass"), key=self._places).digest()


def _derived(secret: bytes, purpose: bytes) -> bytes:
    return hmac.digest(secret, b"mcp replica " + purpose, "sha256")
