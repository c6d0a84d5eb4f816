"""What the OpenAPI document says of the endpoints for machines: their forms, answers and errors.

Only for the reader of the document. Requests are read and checked where they are used, since an OAuth
endpoint refuses in its standard's own words. Pages for people and /verify, the edge's alone, are left out.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, HttpUrl

from ..clients import metadata

Options = dict[str, Any]
"""Keyword arguments of a FastAPI route."""


class Error(BaseModel):
    """RFC 6749 section 5.2, the form of every refusal."""

    error: str
    error_description: str | None = None


class TokenAnswer(BaseModel):
    """RFC 6749 section 5.1."""

    access_token: str
    token_type: str
    expires_in: int
    scope: str
    refresh_token: str | None = None


class Introspection(BaseModel):
    """RFC 7662 section 2.2; nothing but `active` about a token that is not."""

    model_config = ConfigDict(extra="allow")

    active: bool


class DeviceAuthorization(BaseModel):
    """RFC 8628 section 3.2."""

    device_code: str
    user_code: str
    verification_uri: HttpUrl
    verification_uri_complete: HttpUrl
    expires_in: int
    interval: int


class ClientInformation(BaseModel):
    """RFC 7591 section 3.2.1, with the registered metadata."""

    model_config = ConfigDict(extra="allow")

    client_id: str
    client_id_issued_at: int
    registration_access_token: str
    registration_client_uri: HttpUrl
    grant_types: list[str]
    token_endpoint_auth_method: str


class KeySet(BaseModel):
    """RFC 7517 section 5."""

    keys: list[dict[str, str]]


class ServerMetadata(BaseModel):
    """RFC 8414 section 2."""

    model_config = ConfigDict(extra="allow")

    issuer: HttpUrl
    authorization_endpoint: HttpUrl
    token_endpoint: HttpUrl


class ResourceMetadata(BaseModel):
    """RFC 9728 section 2."""

    model_config = ConfigDict(extra="allow")

    resource: HttpUrl
    authorization_servers: list[HttpUrl]


class Health(BaseModel):
    status: str
    reason: str | None = None


TEXT = {"type": "string"}
RESOURCE = {"type": "string", "format": "uri", "description": "The server it is for (RFC 8707)."}
CLIENT = {
    "client_id": TEXT,
    "client_secret": TEXT,
    "client_assertion_type": TEXT,
    "client_assertion": TEXT,
}
"""Client authentication in the body; a secret may come by HTTP Basic instead."""
GRANT_TYPES = [
    metadata.AUTHORIZATION_CODE,
    metadata.REFRESH_TOKEN,
    metadata.DEVICE_CODE,
    metadata.CLIENT_CREDENTIALS,
    metadata.JWT_BEARER,
]
TOKEN = {
    "grant_type": {"type": "string", "enum": GRANT_TYPES},
    "code": TEXT,
    "redirect_uri": TEXT,
    "code_verifier": TEXT,
    "refresh_token": TEXT,
    "device_code": TEXT,
    "assertion": TEXT,
    "resource": RESOURCE,
    "scope": TEXT,
}
ONE_TOKEN = {"token": TEXT, "token_type_hint": TEXT}
DEVICE = {"resource": RESOURCE, "scope": TEXT}
PATH = {"name": "path", "in": "path", "required": True, "schema": TEXT}


def form(fields: dict[str, Any], *required: str) -> Options:
    """A form of `fields` with client authentication."""
    schema = {
        "type": "object",
        "properties": fields | CLIENT,
        "required": list(required),
        "additionalProperties": TEXT,
    }
    return {"openapi_extra": _body("application/x-www-form-urlencoded", schema)}


def client_metadata() -> Options:
    """Client metadata as JSON (RFC 7591 section 2)."""
    uris = {"type": "array", "items": TEXT}
    named = {"redirect_uris": uris, "grant_types": uris, "response_types": uris, "client_name": TEXT}
    schema = {"type": "object", "properties": named | {"token_endpoint_auth_method": TEXT}}
    return {"openapi_extra": _body("application/json", schema)}


def answers(model: type[BaseModel] | None = None, status: int = 200, *, fails: bool = True) -> Options:
    """A successful answer and, unless it cannot fail, the form of every refusal."""
    responses: dict[int | str, Any] = {}
    if model is not None:
        responses[status] = {"model": model, "description": (model.__doc__ or "").strip()}
    if fails:
        responses["4XX"] = {"model": Error, "description": "Refused."}
        responses["503"] = {"model": Error, "description": "The store cannot be reached; try again."}
    return {"responses": responses}


def _body(content_type: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {content_type: {"schema": schema}}}}
