"""Which client this is at an issuer: pre-registered, a metadata document, or registered now."""

from __future__ import annotations

import logging
import os
from typing import Any

from .. import __version__
from ..credentials.records import Client
from ..errors import NotNowError, OAuthRefusedError, SignInError
from ..settings import Settings
from ..terminal import one_line
from .discovery import AuthorizationServer
from .web import Answer, Web

log = logging.getLogger(__name__)

_PASSING = frozenset({"temporarily_unavailable", "server_error", "slow_down"})
"""Error codes that say nothing about the grant or the client."""
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_SUPPORTED_METHODS = ("none", "client_secret_basic", "client_secret_post")


def configured_client(settings: Settings, server: AuthorizationServer) -> Client | None:
    """The client the person named by options, if any, in the specification's order."""
    if settings.client_id is not None:
        secret = settings.client_secret
        return Client(
            issuer=server.issuer,
            client_id=settings.client_id,
            client_secret=secret,
            auth_method=_configured_method(settings, server),
        )
    if settings.client_metadata_url is not None and server.accepts_metadata_documents:
        return Client(issuer=server.issuer, client_id=settings.client_metadata_url)
    return None


async def register(web: Web, server: AuthorizationServer, redirect_uri: str, scope: str | None) -> Client:
    """Dynamic client registration (RFC 7591); raises SignInError."""
    if server.registration_endpoint is None:
        raise SignInError(
            f"{server.issuer} does not register clients by itself; get a client id there and pass "
            "it with --client-id (and --client-secret-file if it comes with a secret)."
        )
    public = "none" in server.auth_methods
    device = [DEVICE_GRANT] if server.device_authorization_endpoint is not None else []
    request: dict[str, Any] = {
        "client_name": os.environ.get("CLIENT_NAME") or "mcp-streamablehttp-client",
        "application_type": "native",
        "redirect_uris": [redirect_uri],
        "grant_types": ["authorization_code", "refresh_token", *device],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none" if public else _method(server),
        "software_id": "mcp-streamablehttp-client",
        "software_version": __version__,
    }
    if scope:
        request["scope"] = scope
    reply = await web.exchange("POST", server.registration_endpoint, body=request)
    answer = reply.document
    client_id = (answer or {}).get("client_id")
    if reply.status not in (200, 201) or answer is None or not isinstance(client_id, str):
        raise refused(f"{server.issuer} did not register this client", reply)
    secret = answer.get("client_secret")
    method = answer.get("token_endpoint_auth_method") or request["token_endpoint_auth_method"]
    if method not in _SUPPORTED_METHODS:
        raise SignInError(f"{server.issuer} wants the client authentication {method}.")
    expires_at = answer.get("client_secret_expires_at")
    management_url, management_token = (
        answer.get("registration_client_uri"),
        answer.get("registration_access_token"),
    )
    log.info("registered with %s", server.issuer)
    return Client(
        issuer=server.issuer,
        client_id=client_id,
        client_secret=secret if isinstance(secret, str) else None,
        auth_method=method,
        redirect_uri=redirect_uri,
        secret_expires_at=expires_at if isinstance(expires_at, (int, float)) else 0,
        management_url=management_url if isinstance(management_url, str) else None,
        management_token=management_token if isinstance(management_token, str) else None,
    )


def refused(what: str, reply: Answer) -> SignInError:
    """A refusal as one sentence: OAuthRefusedError only for an error answer of RFC 6749 section 5.2 (the
    same form as RFC 7591 section 3.2.2), else NotNowError, whatever the status is."""
    document = reply.document or {}
    error, description = document.get("error"), document.get("error_description")
    code = error if isinstance(error, str) else ""
    said = one_line(f"{code}: {description}" if code and isinstance(description, str) else code)
    text = f"{what} ({said or f'HTTP {reply.status}'})."
    if reply.status in (400, 401) and code and code not in _PASSING:
        return OAuthRefusedError(code, text)
    return NotNowError(f"{text} Nothing was given up; try again later.", reply.retry_after, code)


def _configured_method(settings: Settings, server: AuthorizationServer) -> str:
    if settings.client_key is not None:
        return "private_key_jwt"
    return _method(server) if settings.client_secret is not None else "none"


def _method(server: AuthorizationServer) -> str:
    for method in ("client_secret_basic", "client_secret_post"):
        if method in server.auth_methods:
            return method
    return "client_secret_basic"
