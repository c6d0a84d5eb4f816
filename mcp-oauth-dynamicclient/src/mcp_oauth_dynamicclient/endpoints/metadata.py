"""Discovery: the authorization server (RFC 8414, OpenID Connect Discovery 1.0) and each server (RFC 9728).

Clients look for the authorization server's document in many places; it is the same document everywhere, and
promises exactly what works.
"""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from ..clients import assertions
from ..clients import metadata as client_metadata
from ..context import Context
from ..cors import host_of
from ..resources import METADATA_PATH
from ..scopes import MCP, SUPPORTED
from ..servers import Presence
from ..settings import Settings
from ..tokens import ALGORITHM
from . import described
from .at_servers import UNKNOWN, unavailable

CACHE = {"Cache-Control": "public, max-age=300"}


def routes(ctx: Context) -> APIRouter:
    router = APIRouter(tags=["discovery"])
    oauth = json.dumps(authorization_server(ctx.settings)).encode()
    openid = json.dumps(openid_configuration(ctx.settings)).encode()

    @router.get(
        "/.well-known/oauth-authorization-server", **described.answers(described.ServerMetadata, fails=False)
    )
    @router.get("/.well-known/oauth-authorization-server/{path:path}", include_in_schema=False)
    @router.get("/{path:path}/.well-known/oauth-authorization-server", include_in_schema=False)
    async def oauth_authorization_server() -> Response:
        return Response(oauth, media_type="application/json", headers=CACHE)

    @router.get(
        "/.well-known/openid-configuration", **described.answers(described.ServerMetadata, fails=False)
    )
    @router.get("/.well-known/openid-configuration/{path:path}", include_in_schema=False)
    @router.get("/{path:path}/.well-known/openid-configuration", include_in_schema=False)
    async def openid_provider() -> Response:
        return Response(openid, media_type="application/json", headers=CACHE)

    @router.get(METADATA_PATH, **described.answers(described.ResourceMetadata))
    @router.get(
        METADATA_PATH + "/{path:path}",
        openapi_extra={"parameters": [described.PATH]},
        **described.answers(described.ResourceMetadata),
    )
    async def oauth_protected_resource(request: Request) -> Response:
        path = request.scope["path"].removeprefix(METADATA_PATH)
        address = ctx.resources.of_metadata(host_of(ctx.resources, request.scope), path)
        presence = await ctx.servers.presence(address.server) if address else Presence.UNKNOWN
        if address is None or presence is Presence.UNKNOWN:
            return JSONResponse(UNKNOWN, 404)
        if presence is Presence.UNDECIDED:
            return unavailable(presence)
        document = json.dumps(protected_resource(ctx, address.asked))
        return Response(document, media_type="application/json", headers=CACHE | {"Vary": "Host"})

    return router


def authorization_server(settings: Settings) -> dict[str, Any]:
    """RFC 8414 section 2, with the members that its extensions registered."""
    issuer = settings.issuer
    grant_types = ["authorization_code", "refresh_token", "client_credentials", client_metadata.DEVICE_CODE]
    document: dict[str, Any] = {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/authorize",
        "token_endpoint": f"{issuer}/token",
        "device_authorization_endpoint": f"{issuer}/device_authorization",
        "revocation_endpoint": f"{issuer}/revoke",
        "introspection_endpoint": f"{issuer}/introspect",
        "jwks_uri": f"{issuer}/jwks",
        "scopes_supported": list(SUPPORTED),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": grant_types,
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
        "client_id_metadata_document_supported": settings.client_documents,
    }
    methods = list(client_metadata.AUTH_METHODS)
    for endpoint in ("token", "revocation", "introspection"):
        usable = [method for method in methods if endpoint != "introspection" or method != "none"]
        document[f"{endpoint}_endpoint_auth_methods_supported"] = usable
        document[f"{endpoint}_endpoint_auth_signing_alg_values_supported"] = list(assertions.ALGORITHMS)
    if settings.registration:
        document["registration_endpoint"] = f"{issuer}/register"
    if settings.id_jag_issuer:
        grant_types.append(client_metadata.JWT_BEARER)
        document["authorization_grant_profiles_supported"] = ["urn:ietf:params:oauth:grant-profile:id-jag"]
    return document


def openid_configuration(settings: Settings) -> dict[str, Any]:
    """The same, with the two members without which an OpenID client does not read a document at all.

    No scope `openid` is offered and no ID token issued.
    """
    required = {"subject_types_supported": ["public"], "id_token_signing_alg_values_supported": [ALGORITHM]}
    return authorization_server(settings) | required


def protected_resource(ctx: Context, resource: str) -> dict[str, Any]:
    """RFC 9728 section 2."""
    return {
        "resource": resource,
        "resource_name": ctx.resources.name(resource),
        "authorization_servers": [ctx.settings.issuer],
        "scopes_supported": [MCP],
        "bearer_methods_supported": ["header"],
    }
