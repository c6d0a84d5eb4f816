"""Values that leave the server and come back, or rest in the store, unread and unchanged.

Fernet (AES-128-CBC, HMAC-SHA256) under keys derived from GATEWAY_SECRET, one for each purpose: what was
sealed for one purpose cannot be opened for another.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math
from collections.abc import Callable
from typing import Any

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


def derive(secret: str, purpose: str) -> bytes:
    """A key of 32 bytes from GATEWAY_SECRET, for one purpose only (RFC 5869)."""
    return HKDF(SHA256(), 32, salt=None, info=f"mcp-gateway {purpose}".encode()).derive(secret.encode())


def derived_secret(secret: str, purpose: str, value: str) -> str:
    """256 bits in 43 characters that `value` always gives and nobody without GATEWAY_SECRET can tell."""
    code = hmac.digest(derive(secret, purpose), value.encode("utf-8", "surrogatepass"), hashlib.sha256)
    return base64.urlsafe_b64encode(code).rstrip(b"=").decode()


class Seal:
    """`now` gives seconds since the epoch; ages below are in seconds."""

    def __init__(self, secret: str, purpose: str, now: Callable[[], float]) -> None:
        self._fernet = Fernet(base64.urlsafe_b64encode(derive(secret, purpose)))
        self._now = now

    def seal(self, value: dict[str, Any]) -> str:
        text = json.dumps(value, separators=(",", ":")).encode()
        return self._fernet.encrypt_at_time(text, int(self._now())).decode()

    def open(self, sealed: str, max_age: int | None = None) -> dict[str, Any] | None:
        """The value; None when it is not ours, was changed, or is older than `max_age`."""
        try:
            if max_age is None:
                text = self._fernet.decrypt(sealed)
            else:
                text = self._fernet.decrypt_at_time(sealed, max_age, int(self._now()))
        except (InvalidToken, ValueError):
            return None
        value: dict[str, Any] = json.loads(text)
        return value

    def age(self, sealed: str) -> float:
        """Seconds since it was sealed; infinite when it is not ours."""
        try:
            return self._now() - self._fernet.extract_timestamp(sealed)
        except (InvalidToken, ValueError):
            return math.inf
