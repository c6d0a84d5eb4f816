"""Client ID Metadata Documents: a client whose identifier is the https URL of its own metadata
(draft-ietf-oauth-client-id-metadata-document; MCP 2026-07-28, client registration)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from functools import cache
from importlib import resources
from typing import Any, Literal
from urllib.parse import urlsplit

from ..errors import InvalidClientError, OAuth2Error, TemporarilyUnavailableError
from ..records import Client
from ..settings import Settings
from ..store import Store
from . import metadata as rules
from .fetch import AddressRefusedError, Fetcher, FetchError
from .fetch_cache import FetchCache


class UnusableDocumentError(InvalidClientError):
    """The URL or the document cannot identify a client; the description says why."""


class UnreachableDocumentError(TemporarilyUnavailableError):
    """The document is unavailable at the moment, and there is no copy to use instead."""


def is_document_id(client_id: str) -> bool:
    return client_id.startswith("https://")


@cache
def wellknown() -> dict[str, dict[str, Any]]:
    """The built-in copies by client_id, for hosts that answer servers with 403 or a bot challenge."""
    text = resources.files(__package__).joinpath("wellknown.json").read_text(encoding="utf-8")
    return {document["client_id"]: document for document in json.loads(text)["clients"]}


class Documents:
    def __init__(
        self,
        settings: Settings,
        store: Store,
        *,
        now: Callable[[], float] = time.time,
        fetcher: Fetcher | None = None,
    ) -> None:
        self._settings = settings
        self._cache = FetchCache(store, fetcher or Fetcher(), now)

    def builtin(self, client_id: str) -> dict[str, Any] | None:
        """The built-in copy, where the settings allow it."""
        return wellknown().get(client_id) if self._settings.wellknown_clients else None

    async def client(self, client_id: str) -> Client:
        """The client that a document describes. Raises UnusableDocumentError or UnreachableDocumentError."""
        self._check_id(client_id)
        builtin = self.builtin(client_id)
        try:
            copy = await self._cache.load(client_id, self._check_document, builtin=builtin)
        except AddressRefusedError as error:
            raise UnusableDocumentError(
                "The client metadata document cannot be used: {}.", quoted=str(error)
            ) from error
        except FetchError as error:
            raise UnreachableDocumentError(
                "The client metadata document cannot be fetched: {}.", quoted=str(error)
            ) from error
        return self._client(client_id, copy.value, "wellknown" if copy.builtin else "document")

    async def keys(self, url: str, *, renew: bool = False) -> dict[str, Any]:
        """The JWK set at a jwks_uri, fetched under the same rules; unusable keys are left out."""
        if _host_in(url, self._settings.client_document_deny):
            raise UnusableDocumentError("The host of this jwks_uri is not accepted here.")
        try:
            copy = await self._cache.load(url, _check_jwks, renew=renew)
        except AddressRefusedError as error:
            raise UnusableDocumentError("The jwks_uri cannot be used: {}.", quoted=str(error)) from error
        except FetchError as error:
            raise UnreachableDocumentError(
                "The jwks_uri cannot be fetched: {}.", quoted=str(error)
            ) from error
        return {"keys": [key for key in copy.value["keys"] if _is_usable(key)][: rules.MAX_KEYS]}

    def _check_id(self, client_id: str) -> None:
        if not self._settings.client_documents:
            raise UnusableDocumentError(
                "Client metadata documents are switched off here; register dynamically."
            )
        path = client_id.removeprefix("https://").partition("/")[2]
        if (
            len(client_id) > 2048
            or not client_id.isascii()
            or not client_id.isprintable()
            or any(char in client_id for char in ' "\\#<>@[]')
            or not path
            or any(_is_dots(segment) for segment in path.partition("?")[0].split("/"))
        ):
            raise UnusableDocumentError(
                "A client_id that is a URL must be https with a path, without user information, fragment or"
                " dot segments."
            )
        allowed, denied = self._settings.client_document_allow, self._settings.client_document_deny
        if _host_in(client_id, denied) or (allowed and not _host_in(client_id, allowed)):
            raise UnusableDocumentError("Clients of this host are not accepted here.")

    def _check_document(self, url: str, value: dict[str, Any]) -> None:
        if value.get("client_id") != url:
            raise UnusableDocumentError("The client_id in the document is not exactly the document's URL.")
        self._client(url, value, "document")

    def _client(
        self, client_id: str, value: dict[str, Any], source: Literal["document", "wellknown"]
    ) -> Client:
        try:
            kept = rules.validate(value, self._settings, "document")
        except OAuth2Error as error:
            raise UnusableDocumentError(
                "The client metadata document cannot be used: {}", quoted=error.reason
            ) from error
        if "client_name" not in kept:
            raise UnusableDocumentError("The client metadata document has no client_name that can be read.")
        return Client(client_id=client_id, metadata=kept, source=source)


def _is_dots(segment: str) -> bool:
    """Whether a URL parser takes a segment for `.` or `..`, in any spelling (WHATWG URL)."""
    return segment.lower().replace("%2e", ".") in (".", "..")


def _host_in(url: str, names: Iterable[str]) -> bool:
    """Whether the URL's host is one of the names or below one."""
    host = (urlsplit(url).hostname or "").lower()
    return any(host == name.lower() or host.endswith(f".{name.lower()}") for name in names)


def _check_jwks(_: str, value: dict[str, Any]) -> None:
    if not isinstance(value.get("keys"), list):
        raise UnusableDocumentError("The jwks_uri does not lead to a JWK set.")


def _is_usable(key: object) -> bool:
    try:
        rules.check_public_key(key)
    except OAuth2Error:
        return False
    return True
