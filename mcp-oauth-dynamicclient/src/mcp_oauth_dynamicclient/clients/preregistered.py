"""Clients the operator enters in CLIENTS_FILE: a JSON array of RFC 7591 metadata with `client_id` and, for a
confidential client, `client_secret` or its SHA-256 as `client_secret_hash`."""

from __future__ import annotations

import json
import re
from typing import Any

from ..errors import OAuth2Error, SettingsError
from ..records import Client
from ..settings import Settings
from ..tokens import digest
from . import metadata as rules

MIN_SECRET = 24


def load_clients(settings: Settings) -> dict[str, Client]:
    """The clients by client_id. Raises SettingsError, one line that names the file and the client."""
    if settings.clients_file is None:
        return {}
    try:
        entries = json.loads(settings.clients_file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise SettingsError(
            f"CLIENTS_FILE: {settings.clients_file} cannot be read as JSON: {error}"
        ) from error
    if not isinstance(entries, list):
        raise SettingsError(f"CLIENTS_FILE: {settings.clients_file} must contain a JSON array of clients")
    clients: dict[str, Client] = {}
    for number, entry in enumerate(entries, 1):
        client = _client(entry, settings, f"CLIENTS_FILE: client {number}")
        if client.client_id in clients:
            raise SettingsError(f"CLIENTS_FILE: client {number} repeats the client_id {client.client_id}")
        clients[client.client_id] = client
    return clients


def _client(entry: Any, settings: Settings, where: str) -> Client:
    if not isinstance(entry, dict) or not isinstance(entry.get("client_id"), str) or not entry["client_id"]:
        raise SettingsError(f"{where} must be an object with a client_id")
    where = f"{where} ({entry['client_id']})"
    try:
        kept = rules.validate(entry, settings, "preregistered")
    except OAuth2Error as error:
        raise SettingsError(f"{where}: {error.reason}") from error
    secret_hash = _secret_hash(entry, where)
    if (kept["token_endpoint_auth_method"] in rules.SECRET_METHODS) != (secret_hash is not None):
        raise SettingsError(
            f"{where}: client_secret (or client_secret_hash) belongs to token_endpoint_auth_method"
            f" {' or '.join(rules.SECRET_METHODS)}, and this client uses {kept['token_endpoint_auth_method']}"
        )
    return Client(
        client_id=entry["client_id"], metadata=kept, source="preregistered", secret_hash=secret_hash
    )


def _secret_hash(entry: dict[str, Any], where: str) -> str | None:
    secret, hashed = entry.get("client_secret"), entry.get("client_secret_hash")
    if secret is not None and (not isinstance(secret, str) or len(secret) < MIN_SECRET):
        raise SettingsError(f"{where}: client_secret must have at least {MIN_SECRET} characters")
    if hashed is not None and (not isinstance(hashed, str) or not re.fullmatch("[0-9a-f]{64}", hashed)):
        raise SettingsError(
            f"{where}: client_secret_hash must be a SHA-256 in 64 lower-case hexadecimal digits"
        )
    return hashed or (digest(secret) if secret else None)
