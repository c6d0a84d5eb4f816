"""From the 401 challenge to the authorization server (RFC 9728, RFC 8414, OpenID discovery)."""

import logging
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ..errors import DiscoveryFailed, SignInFailed
from .challenge import Challenge
from .http import exchange
from .urls import checked

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AuthorizationServer:
    """The metadata this client uses, each address checked."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    registration_endpoint: str | None
    revocation_endpoint: str | None
    scopes: tuple[str, ...]
    auth_methods: tuple[str, ...]
    sends_iss: bool
    accepts_metadata_documents: bool


@dataclass(frozen=True)
class Discovery:
    """`resource` is what tokens are bound to; `scopes` are those the resource names."""

    resource: str
    scopes: tuple[str, ...]
    server: AuthorizationServer


async def discover(server_url: str, challenge: Challenge) -> Discovery:
    """Raises DiscoveryFailed, saying which document is missing or wrong."""
    resource = await _protected_resource(server_url, challenge)
    if resource is None:
        return Discovery(server_url, (), await _before_june_2025(server_url))
    issuers = resource.get("authorization_servers")
    if not isinstance(issuers, list) or not issuers:
        raise DiscoveryFailed("The protected-resource metadata of the server names no authorization server.")
    issuer = checked(issuers[0], "authorization server", server_url)
    server = await _authorization_server(issuer, server_url)
    return Discovery(resource["resource"], _strings(resource.get("scopes_supported")), server)


async def _protected_resource(server_url: str, challenge: Challenge) -> dict[str, Any] | None:
    """By the challenge's address, else the well-known path of the server's path, then the root."""
    if challenge.resource_metadata is not None:
        url = checked(challenge.resource_metadata, "resource_metadata address", server_url)
        document = await _fetch(url)
        if document is None:
            raise DiscoveryFailed("The server's protected-resource metadata cannot be read.")
        return _matching(document, server_url)
    origin, path = _split(server_url)
    well_known = f"{origin}/.well-known/oauth-protected-resource"
    for url in dict.fromkeys((well_known + path, well_known)):
        if (document := await _fetch(url)) is not None:
            return _matching(document, server_url)
    return None


def _matching(document: dict[str, Any], server_url: str) -> dict[str, Any]:
    """RFC 9728 §3.3: the metadata must be about this server, or a parent path of it."""
    resource = document.get("resource")
    if isinstance(resource, str) and urlsplit(resource).query in ("", urlsplit(server_url).query):
        try:
            origin, path = _split(resource)
            own_origin, own_path = _split(server_url)
        except ValueError:
            origin = path = own_origin = own_path = ""
        parent = path.rstrip("/")
        inside = own_path.rstrip("/") == parent or own_path.startswith(parent + "/")
        if origin and origin == own_origin and inside and "#" not in resource:
            return document
    raise DiscoveryFailed(
        "The protected-resource metadata describes another resource than this server; no sign-in "
        "is made for it."
    )


async def _before_june_2025(server_url: str) -> AuthorizationServer:
    """Revision 2025-03-26: the server is its own authorization server, at the root of its host."""
    origin, _ = _split(server_url)
    document = await _fetch(f"{origin}/.well-known/oauth-authorization-server")
    if document is None:
        raise DiscoveryFailed(
            "The server asks for authorization but publishes no metadata that says where to get "
            "it; if it wants a fixed token, pass it with --header-file."
        )
    return _validated(document, origin, server_url)


async def _authorization_server(issuer: str, server_url: str) -> AuthorizationServer:
    origin, path = _split(issuer)
    path = path.rstrip("/")
    candidates = [
        f"{origin}/.well-known/oauth-authorization-server{path}",
        f"{origin}/.well-known/openid-configuration{path}",
    ]
    if path:
        candidates.append(f"{origin}{path}/.well-known/openid-configuration")
    for url in candidates:
        if (document := await _fetch(url)) is not None:
            return _validated(document, issuer, server_url)
    raise DiscoveryFailed(f"The authorization server {issuer} publishes no metadata.")


def _validated(document: dict[str, Any], issuer: str, server_url: str) -> AuthorizationServer:
    if document.get("issuer") != issuer:
        raise DiscoveryFailed(
            f"The metadata of the authorization server {issuer} names another issuer; it is not "
            "trusted (RFC 8414 §3.3)."
        )
    if "S256" not in _strings(document.get("code_challenge_methods_supported")):
        raise DiscoveryFailed(
            f"The authorization server {issuer} does not announce PKCE with S256, which MCP needs."
        )

    def endpoint(name: str) -> str:
        return checked(document.get(name), name, server_url)

    def optional(name: str) -> str | None:
        return endpoint(name) if document.get(name) is not None else None

    methods = _strings(document.get("token_endpoint_auth_methods_supported"))
    return AuthorizationServer(
        issuer=issuer,
        authorization_endpoint=endpoint("authorization_endpoint"),
        token_endpoint=endpoint("token_endpoint"),
        registration_endpoint=optional("registration_endpoint"),
        revocation_endpoint=optional("revocation_endpoint"),
        scopes=_strings(document.get("scopes_supported")),
        auth_methods=methods or ("client_secret_basic",),
        sends_iss=document.get("authorization_response_iss_parameter_supported") is True,
        accepts_metadata_documents=document.get("client_id_metadata_document_supported") is True,
    )


async def _fetch(url: str) -> dict[str, Any] | None:
    """A metadata document, None when there is none at this address."""
    try:
        status, document = await exchange("GET", url)
    except SignInFailed as error:
        raise DiscoveryFailed(str(error)) from None
    log.debug("metadata %s: %s", url, status)
    if status >= 500:
        raise DiscoveryFailed(f"{url} answered {status}; try again later.")
    return document if status == 200 else None


def _split(url: str) -> tuple[str, str]:
    """Origin and path; hosts and schemes compare without case."""
    parts = urlsplit(url)
    port = "" if parts.port in (None, 443 if parts.scheme == "https" else 80) else f":{parts.port}"
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}{port}", parts.path if parts.path != "/" else ""


def _strings(value: object) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()
