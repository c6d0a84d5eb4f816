"""Client registration management (RFC 7592), and the answer that registration and management share."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from ..context import Context
from ..errors import InvalidClientMetadataError, InvalidRequestError, InvalidTokenError
from ..grants import grant
from ..records import Client
from ..tokens import digest
from .registry import Registration

SERVER_MEMBERS = (
    "registration_access_token",
    "registration_client_uri",
    "client_secret_expires_at",
    "client_id_issued_at",
)
"""What an update must not contain (RFC 7592 section 2.2)."""


class RegistrationTokenError(InvalidTokenError):
    """401 for a wrong token and for an unknown client alike (RFC 7592 section 2)."""

    def get_headers(self) -> list[tuple[str, str]]:
        return [*super().get_headers(), ("WWW-Authenticate", 'Bearer error="invalid_token"')]


async def authorize(ctx: Context, client_id: str, authorization: str | None) -> tuple[Client, str]:
    """The client and the registration token that proves the right to manage it."""
    scheme, _, token = (authorization or "").partition(" ")
    token = token.strip()
    known = await ctx.tables.clients.get(client_id)
    expected = known.registration_token_hash if known else None
    if (
        scheme.lower() != "bearer"
        or known is None
        or expected is None
        or not hmac.compare_digest(digest(token), expected)
    ):
        raise RegistrationTokenError("The registration access token is missing or wrong.")
    return known, token


async def update(ctx: Context, client: Client, metadata: Mapping[str, Any]) -> Registration:
    """Replace the whole registration (RFC 7592 section 2.2); the registration token rotates."""
    named = [name for name in SERVER_MEMBERS if name in metadata]
    if named:
        raise InvalidRequestError(f"An update must not contain {', '.join(named)}.")
    if metadata.get("client_id") != client.client_id:
        raise InvalidRequestError("An update must contain the client_id of the registration.")
    secret = metadata.get("client_secret")
    if secret is not None and (
        client.secret_hash is None
        or not isinstance(secret, str)
        or not hmac.compare_digest(digest(secret), client.secret_hash)
    ):
        raise InvalidClientMetadataError("client_secret must be the issued one, or be left out.")
    registration = await ctx.clients.replace(client, metadata)
    if registration is None:
        raise RegistrationTokenError("The registration was changed meanwhile; read it again.")
    ctx.audit.record("client.update", outcome="updated", client=client.client_id)
    return registration


async def remove(ctx: Context, client_id: str, why: str) -> bool:
    """Forget a client and revoke everything issued to it; False when there was no such client."""
    removed = await ctx.clients.delete(client_id)
    await grant.revoke_client(ctx, client_id, why)
    if removed:
        ctx.audit.record("client.delete", outcome="deleted", client=client_id, reason=why)
    return removed


def information(ctx: Context, registration: Registration) -> dict[str, Any]:
    """The client information response (RFC 7591 section 3.2.1, RFC 7592 section 3). Only hashes of secrets
    are kept, so a secret appears in the answer that issues it and never again."""
    client = registration.client
    answer: dict[str, Any] = {"client_id": client.client_id, "client_id_issued_at": int(client.issued_at)}
    if registration.client_secret is not None:
        answer |= {"client_secret": registration.client_secret, "client_secret_expires_at": 0}
    if registration.registration_token is not None:
        answer |= {
            "registration_access_token": registration.registration_token,
            "registration_client_uri": f"{ctx.settings.issuer}/register/{quote(client.client_id, safe='')}",
        }
    return answer | client.metadata
