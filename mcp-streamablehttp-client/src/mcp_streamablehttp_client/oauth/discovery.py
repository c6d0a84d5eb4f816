"""From the 401 challenge to the authorization server (RFC 9728, RFC 8414, OpenID discovery)."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ..errors import DiscoveryError, NotNowError
from . import dpop
from .challenge import Challenge
from .urls import checked
from .web import Web

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AuthorizationServer:
    """The metadata this client uses, each address checked."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    registration_endpoint: str | None
    revocation_endpoint: str | None
    device_authorization_endpoint: str | None
    scopes: tuple[str, ...]
    auth_methods: tuple[str, ...]
    sends_iss: bool
    accepts_metadata_documents: bool
    binds_tokens: bool = False
    """Whether it takes DPoP proofs of this client's algorithm (RFC 9449 section 5.1)."""


@dataclass(frozen=True)
class Discovery:
    """`resource` is what tokens are bound to; `scopes` are those the resource names; `announced`
    is false where no protected-resource metadata named the authorization server."""

    resource: str
    scopes: tuple[str, ...]
    server: AuthorizationServer
    announced: bool = True


async def discover(web: Web, challenge: Challenge) -> Discovery:
    """Raises DiscoveryError, saying which document is missing or wrong."""
    server_url = web.server_url
    resource = await _protected_resource(web, challenge)
    if resource is None:
        return Discovery(server_url, (), await _before_june_2025(web), announced=False)
    issuers = resource.get("authorization_servers")
    if not isinstance(issuers, list) or not issuers:
        raise DiscoveryError("The protected-resource metadata of the server names no authorization server.")
    issuer = checked(issuers[0], "authorization server", server_url)
    server = await _authorization_server(web, issuer)
    return Discovery(resource["resource"], _strings(resource.get("scopes_supported")), server)


async def _protected_resource(web: Web, challenge: Challenge) -> dict[str, Any] | None:
    """By the challenge's address, else the well-known path of the server's path, then the root.

    An address in the challenge that is none, or answers nothing, is as good as absent: servers
    behind proxies often announce their inner one. One that is unsafe is an error.
    """
    server_url = web.server_url
    origin, path = _split(server_url)
    well_known = f"{origin}/.well-known/oauth-protected-resource"
    candidates = [well_known + path, well_known]
    announced = challenge.resource_metadata
    if announced is not None and (usable := _usable(announced, server_url)) is not None:
        candidates.insert(0, usable)
    for number, url in enumerate(dict.fromkeys(candidates), 1):
        try:
            document = await _fetch(web, url)
        except NotNowError:
            if number == 1 and url == announced and not _is_of(url, origin):
                continue  # dead where only the server's own network reaches it
            raise
        if document is not None:
            return _matching(document, server_url)
    return None


def _usable(announced: str, server_url: str) -> str | None:
    """None for a relative address, and for plain http where https is due: servers behind a proxy
    take it for what they are spoken to in. Raises DiscoveryError for any other unsafe one."""
    scheme = announced.partition(":")[0].lower() if "://" in announced else ""
    try:
        return checked(announced, "resource_metadata address", server_url) if scheme else None
    except DiscoveryError:
        if scheme != "http":
            raise
        return None


def _is_of(url: str, origin: str) -> bool:
    return _split(url)[0] == origin


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
    raise DiscoveryError(
        "The protected-resource metadata describes another resource than this server; no sign-in "
        "is made for it."
    )


async def _before_june_2025(web: Web) -> AuthorizationServer:
    """Revision 2025-03-26: the server is its own authorization server, at the root of its host."""
    origin, _ = _split(web.server_url)
    document = await _fetch(web, f"{origin}/.well-known/oauth-authorization-server")
    if document is None:
        raise DiscoveryError(
            "The server asks for authorization but publishes no metadata that says where to get "
            "it; if it wants a fixed token, pass it with --header-file."
        )
    return _validated(document, origin, web.server_url)


async def _authorization_server(web: Web, issuer: str) -> AuthorizationServer:
    origin, path = _split(issuer)
    path = path.rstrip("/")
    candidates = [
        f"{origin}/.well-known/oauth-authorization-server{path}",
        f"{origin}/.well-known/openid-configuration{path}",
    ]
    if path:
        candidates.append(f"{origin}{path}/.well-known/openid-configuration")
    for url in candidates:
        if (document := await _fetch(web, url)) is not None:
            return _validated(document, issuer, web.server_url)
    raise DiscoveryError(f"The authorization server {issuer} publishes no metadata.")


def _validated(document: dict[str, Any], issuer: str, server_url: str) -> AuthorizationServer:
    spelled = document.get("issuer")
    if not isinstance(spelled, str) or not _same_issuer(spelled, issuer):
        raise DiscoveryError(
            f"The metadata of the authorization server {issuer} names another issuer; it is not "
            "trusted (RFC 8414 §3.3)."
        )
    if "S256" not in _strings(document.get("code_challenge_methods_supported")):
        raise DiscoveryError(
            f"The authorization server {issuer} does not announce PKCE with S256, which MCP needs."
        )

    def endpoint(name: str) -> str:
        return checked(document.get(name), name, server_url)

    def optional(name: str) -> str | None:
        return endpoint(name) if document.get(name) is not None else None

    methods = _strings(document.get("token_endpoint_auth_methods_supported"))
    return AuthorizationServer(
        issuer=spelled,
        authorization_endpoint=endpoint("authorization_endpoint"),
        token_endpoint=endpoint("token_endpoint"),
        registration_endpoint=optional("registration_endpoint"),
        revocation_endpoint=optional("revocation_endpoint"),
        device_authorization_endpoint=optional("device_authorization_endpoint"),
        scopes=_strings(document.get("scopes_supported")),
        auth_methods=methods or ("client_secret_basic",),
        sends_iss=document.get("authorization_response_iss_parameter_supported") is True,
        accepts_metadata_documents=document.get("client_id_metadata_document_supported") is True,
        binds_tokens=dpop.ALGORITHM in _strings(document.get("dpop_signing_alg_values_supported")),
    )


def _same_issuer(one: str, other: str) -> bool:
    """RFC 8414 section 3.3 compares byte by byte. Forgiven here is one difference, that of an empty
    path and "/": pydantic's URLs add it, so every authorization server of the Python SDK has it."""
    if one == other:
        return True
    return one.removesuffix("/") == other.removesuffix("/") and urlsplit(one).path in ("", "/")


async def _fetch(web: Web, url: str) -> dict[str, Any] | None:
    """A metadata document, None when there is none at this address. Raises NotNowError."""
    answer = await web.exchange("GET", url)
    log.debug("metadata %s: %s", url, answer.status)
    if answer.is_weather:
        raise NotNowError(f"{url} answered {answer.status}; try again later.", answer.retry_after)
    return answer.document if answer.status == 200 else None


def _split(url: str) -> tuple[str, str]:
    """Origin and path; hosts and schemes compare without case."""
    parts = urlsplit(url)
    port = "" if parts.port in (None, 443 if parts.scheme == "https" else 80) else f":{parts.port}"
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}{port}", parts.path if parts.path != "/" else ""


def _strings(value: object) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()
