"""Secrets and tokens. The only module that knows python-jose."""

from __future__ import annotations

import hashlib
import secrets


def new_secret(prefix: str = "") -> str:
    """256 random bits, safe in URLs, headers and forms."""
    return prefix + secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """The SHA-256 (hex) under which a random secret is stored; passwords are hashed elsewhere, slowly."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
