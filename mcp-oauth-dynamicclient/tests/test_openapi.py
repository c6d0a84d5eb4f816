"""The OpenAPI document: it says what is there, and nothing it describes ends in a server error."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcp_oauth_dynamicclient.app import Gateway, create_app
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)
from starlette.types import Receive, Scope, Send

from .support import App

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    unsupported_method,
]


OPERATIONS = [
    ("/token", "POST"), ("/revoke", "POST"), ("/introspect", "POST"), ("/device_authorization", "POST"),
    ("/register", "POST"), ("/register/{client_id}", "GET"), ("/register/{client_id}", "PUT"),
    ("/register/{client_id}", "DELETE"), ("/jwks", "GET"), ("/health", "GET"),
    ("/.well-known/oauth-authorization-server", "GET"), ("/.well-known/openid-configuration", "GET"),
    ("/.well-known/oauth-protected-resource", "GET"), ("/.well-known/oauth-protected-resource/{path}", "GET"),
]  # fmt: skip
EXAMPLES = 60
FORM = "application/x-www-form-urlencoded"


class WithoutEnd:
    """Serves one gateway for as long as the test runs: schemathesis ends the lifespan with every request."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self._gateway(scope, receive, send)
            return
        for phase in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{phase}.complete"})


@pytest.fixture
def gateway(make_settings: Callable[..., Any], tmp_path: Path) -> Iterator[WithoutEnd]:
    settings = make_settings(registrations_per_hour=10**6, audit_log=str(tmp_path / "audit.log"))
    gateway = create_app(settings)
    yield WithoutEnd(gateway)
    asyncio.run(gateway.aclose())


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_nothing_that_is_described_ends_in_a_server_error_or_another_answer(
    gateway: Gateway, path: str, method: str
) -> None:
    """Half of the forms come from a client that exists, so that more than its authentication is reached."""
    described: Any = schemathesis.openapi.from_asgi("/openapi.json", gateway)
    all_of_them = [each.ok() for each in described.get_all_operations()]
    assert {(each.path, each.method.upper()) for each in all_of_them} == set(OPERATIONS)
    metadata = {
        "redirect_uris": ["https://client.example/cb"],
        "token_endpoint_auth_method": "none",
        "grant_types": [
            "authorization_code",
            "refresh_token",
            "urn:ietf:params:oauth:grant-type:device_code",
        ],
    }
    registration = described["/register"]["POST"].Case(body=metadata, media_type="application/json").call()
    known = registration.json()["client_id"]
    found = described["/register/{client_id}"]["GET"].Case(
        path_parameters={"client_id": known},
        headers={"Authorization": f"Bearer {registration.json()['registration_access_token']}"},
    )
    assert found.call().status_code == 200

    form = described.raw_schema["paths"]["/token"]["post"]["requestBody"]["content"][FORM]["schema"]
    grant_types = form["properties"]["grant_type"]["enum"]
    asks_for = st.sampled_from(grant_types)

    @given(case=described[path][method].as_strategy(), as_known=st.booleans(), grant_type=asks_for)
    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    def holds(case: Any, as_known: bool, grant_type: str) -> None:
        if as_known and isinstance(case.body, dict) and path not in ("/register", "/register/{client_id}"):
            secrets = ("client_secret", "client_assertion", "client_assertion_type")
            case.body = {name: value for name, value in case.body.items() if name not in secrets}
            case.body["client_id"] = known
            if path == "/token":
                case.body["grant_type"] = grant_type
        case.call_and_validate(checks=CHECKS)

    holds()


async def test_every_endpoint_of_the_metadata_for_machines_is_described(app: App) -> None:
    document = (await app.http.get("/openapi.json")).json()
    metadata = (await app.http.get("/.well-known/oauth-authorization-server")).json()
    pages = {"authorization_endpoint"}
    endpoints = {
        url.removeprefix(metadata["issuer"])
        for name, url in metadata.items()
        if (name.endswith("_endpoint") or name == "jwks_uri") and name not in pages
    }
    assert endpoints <= set(document["paths"])
    assert not {"/verify", "/metrics", "/authorize", "/consent"} & set(document["paths"])


async def test_every_form_and_every_refusal_is_described(app: App) -> None:
    paths = (await app.http.get("/openapi.json")).json()["paths"]
    error = {"$ref": "#/components/schemas/Error"}
    for path, operations in paths.items():
        for method, operation in operations.items():
            assert "422" not in operation["responses"], path
            if method in ("post", "put"):
                assert operation["requestBody"]["required"] is True
                assert operation["responses"]["4XX"]["content"]["application/json"]["schema"] == error
    forms = {path for path, of in paths.items() if "application/x-www-form-urlencoded" in str(of)}
    assert forms == {"/token", "/revoke", "/introspect", "/device_authorization"}
