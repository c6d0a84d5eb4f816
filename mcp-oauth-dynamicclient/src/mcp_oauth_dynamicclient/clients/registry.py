"""Every client the gateway knows, wherever its registration came from."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import InvalidClientMetadataError
from ..records import Client
from ..settings import Settings
from ..store import Store, Table
from ..tokens import digest, new_secret
from . import metadata as rules
from .documents import Documents, is_document_id
from .preregistered import load_clients

TOUCH_INTERVAL = 3600.0
"""Seconds for which a client counts as just used, so that not every token writes to the store."""


@dataclass(frozen=True, slots=True)
class Registration:
    """A new or changed registration with the secrets that are shown once."""

    client: Client
    client_secret: str | None = None
    registration_token: str | None = None


class ClientRegistry:
    """Raises SettingsError at construction when CLIENTS_FILE cannot be used."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        *,
        now: Callable[[], float] = time.time,
        documents: Documents | None = None,
    ) -> None:
        self._settings = settings
        self._clients = Table(store, "client", Client)
        self._now = now
        self._documents = documents or Documents(settings, store, now=now)
        self._from_file = load_clients(settings)

    async def find(self, client_id: str) -> Client | None:
        """The client, or None when there is no such client.

        A metadata document is fetched when it is not cached: UnusableDocumentError (invalid_client) says what
        is wrong with it, UnreachableDocumentError (temporarily_unavailable) that it is unavailable now.
        """
        if client_id in self._from_file:
            return self._from_file[client_id]
        if is_document_id(client_id):
            return await self._documents.client(client_id)
        return await self._clients.get(client_id)

    def is_known(self, client: Client) -> bool:
        """Whether somebody here stands for it: the operator, this gateway's own list, or a person who has
        signed in with it. Anybody may register another, or publish its document."""
        return (
            client.source == "preregistered"
            or self._documents.builtin(client.client_id) is not None
            or client.last_used_at is not None
        )

    async def register(self, metadata: Mapping[str, Any]) -> Registration:
        """Register a client dynamically (RFC 7591); it is forgotten unless a person signs in with it soon."""
        kept = rules.validate(metadata, self._settings, "dynamic")
        token = new_secret("reg-")
        registration = self._new(kept, source="dynamic", registration_token=token)
        expires_at = self._now() + self._settings.unused_client_lifetime
        await self._clients.put(registration.client.client_id, registration.client, expires_at=expires_at)
        return registration

    async def preregister(self, metadata: Mapping[str, Any]) -> Registration:
        """Enter a client as the operator: it never expires and may use every grant type. A `client_id` in the
        metadata is kept, and replaces the client of that name."""
        kept = rules.validate(metadata, self._settings, "preregistered")
        client_id = metadata.get("client_id")
        if client_id is not None and (
            not isinstance(client_id, str) or not client_id or is_document_id(client_id)
        ):
            raise InvalidClientMetadataError("client_id must be a name, not a URL.")
        registration = self._new(kept, source="preregistered", client_id=client_id)
        await self._clients.put(registration.client.client_id, registration.client)
        return registration

    def _new(
        self,
        kept: dict[str, Any],
        *,
        source: rules.Source,
        client_id: str | None = None,
        registration_token: str | None = None,
    ) -> Registration:
        secret = new_secret() if kept["token_endpoint_auth_method"] in rules.SECRET_METHODS else None
        client = Client(
            client_id=client_id or f"client_{secrets.token_urlsafe(16)}",
            metadata=kept,
            source=source,
            secret_hash=digest(secret) if secret else None,
            registration_token_hash=digest(registration_token) if registration_token else None,
            issued_at=self._now(),
        )
        return Registration(client, secret, registration_token)

    async def replace(self, client: Client, metadata: Mapping[str, Any]) -> Registration | None:
        """Replace the metadata of a dynamic client, with a new registration token and, where the method
        has come to need one, a secret (RFC 7592 section 2.2). None when the client has changed meanwhile."""
        kept = rules.validate(metadata, self._settings, "dynamic")
        needs_secret = kept["token_endpoint_auth_method"] in rules.SECRET_METHODS
        token, fresh = new_secret("reg-"), new_secret()

        def change(current: Client) -> Client | None:
            if current.registration_token_hash != client.registration_token_hash:
                return None
            kept_hash = current.secret_hash or digest(fresh)
            return current.model_copy(
                update={
                    "metadata": kept,
                    "secret_hash": kept_hash if needs_secret else None,
                    "registration_token_hash": digest(token),
                }
            )

        updated = await self._clients.update(client.client_id, change)
        if updated is None or updated.after is updated.before:
            return None
        is_new = needs_secret and updated.before.secret_hash is None
        return Registration(updated.after, fresh if is_new else None, token)

    async def touch(self, client: Client) -> None:
        """Note that a person signed in with the client, or that it refreshed; from then on it is kept for
        CLIENT_LIFETIME."""
        if client.source in ("document", "wellknown") or client.client_id in self._from_file:
            return
        now = self._now()
        if not _touch_due(client, now):
            return

        def change(current: Client) -> Client | None:
            return current.model_copy(update={"last_used_at": now}) if _touch_due(current, now) else None

        expires_at = now + self._settings.client_lifetime if client.source == "dynamic" else None
        await self._clients.update(client.client_id, change, expires_at=expires_at)

    async def delete(self, client_id: str) -> bool:
        """Forget a client; `management.remove` also revokes what it holds. False when there was none."""
        return await self._clients.delete(client_id)

    async def list(self) -> AsyncIterator[Client]:
        """The clients of CLIENTS_FILE and those in the store."""
        for client in self._from_file.values():
            yield client
        async for _, client in self._clients.list():
            yield client

    async def keys(self, client: Client, *, renew: bool = False) -> dict[str, Any]:
        """The client's JWK set for private_key_jwt; `renew` asks its jwks_uri again."""
        if "jwks" in client.metadata:
            return dict(client.metadata["jwks"])
        return await self._documents.keys(str(client.metadata.get("jwks_uri", "")), renew=renew)


def _touch_due(client: Client, now: float) -> bool:
    return client.last_used_at is None or now - client.last_used_at >= TOUCH_INTERVAL
