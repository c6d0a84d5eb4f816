"""Which client this is at an issuer: pre-registered, a metadata document, or registered now."""

import logging
import os
from typing import Any

from .. import __version__
from ..credentials.records import Client
from ..errors import OAuthRefused, SignInFailed
from ..settings import Settings
from .discovery import AuthorizationServer
from .http import exchange

log = logging.getLogger(__name__)

_SUPPORTED_METHODS = ("none", "client_secret_basic", "client_secret_post")


def configured_client(settings: Settings, server: AuthorizationServer) -> Client | None:
    """The client the person named by options, if any, in the specification's order."""
    if settings.client_id is not None:
        secret = settings.client_secret
        return Client(
            issuer=server.issuer,
            client_id=settings.client_id,
            client_secret=secret,
            auth_method=_method(server) if secret is not None else "none",
        )
    if settings.client_metadata_url is not None and server.accepts_metadata_documents:
        return Client(issuer=server.issuer, client_id=settings.client_metadata_url)
    return None


async def register(server: AuthorizationServer, redirect_uri: str, scope: str | None) -> Client:
    """Dynamic client registration (RFC 7591); raises SignInFailed."""
    if server.registration_endpoint is None:
        raise SignInFailed(
            f"{server.issuer} does not register clients by itself; get a client id there and pass "
            "it with --client-id (and --client-secret-file if it comes with a secret)."
        )
    public = "none" in server.auth_methods
    request: dict[str, Any] = {
        "client_name": os.environ.get("CLIENT_NAME") or "mcp-streamablehttp-client",
        "application_type": "native",
        "redirect_uris": [redirect_uri],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none" if public else _method(server),
        "software_id": "mcp-streamablehttp-client",
        "software_version": __version__,
    }
    if scope:
        request["scope"] = scope
    status, answer = await exchange("POST", server.registration_endpoint, body=request)
    client_id = (answer or {}).get("client_id")
    if status not in (200, 201) or answer is None or not isinstance(client_id, str):
        raise refused(f"{server.issuer} did not register this client", status, answer)
    secret = answer.get("client_secret")
    method = answer.get("token_endpoint_auth_method") or request["token_endpoint_auth_method"]
    if method not in _SUPPORTED_METHODS:
        raise SignInFailed(f"{server.issuer} wants the client authentication {method}.")
    expires_at = answer.get("client_secret_expires_at")
    log.info("registered with %s", server.issuer)
    return Client(
        issuer=server.issuer,
        client_id=client_id,
        client_secret=secret if isinstance(secret, str) else None,
        auth_method=method,
        redirect_uri=redirect_uri,
        secret_expires_at=expires_at if isinstance(expires_at, (int, float)) else 0,
    )


def refused(what: str, status: int, answer: dict[str, Any] | None) -> OAuthRefused:
    """An OAuth error answer as one sentence."""
    error = (answer or {}).get("error")
    description = (answer or {}).get("error_description")
    code = error if isinstance(error, str) else ""
    said = printable(f"{code}: {description}" if isinstance(description, str) else code)
    return OAuthRefused(code, f"{what} ({said or f'HTTP {status}'}).")


def printable(text: str, limit: int = 300) -> str:
    """Foreign text fit for one line of a log or terminal."""
    return "".join(c if c.isprintable() else " " for c in text[:limit]).strip()


def _method(server: AuthorizationServer) -> str:
    for method in ("client_secret_basic", "client_secret_post"):
        if method in server.auth_methods:
            return method
    return "client_secret_basic"
