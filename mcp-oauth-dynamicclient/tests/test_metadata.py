"""Discovery at every address that clients try (RFC 8414, OpenID Connect Discovery, RFC 9728)."""

from __future__ import annotations

import pytest
from mcp_oauth_dynamicclient.clients.assertions import ALGORITHMS

from .support import App, MakeApp

ISSUER = "http://localhost:8080"


@pytest.mark.parametrize(
    "path",
    [
        "/.well-known/oauth-authorization-server", "/.well-known/oauth-authorization-server/time/mcp",
        "/time/mcp/.well-known/oauth-authorization-server", "/.well-known/openid-configuration",
        "/.well-known/openid-configuration/time/mcp", "/time/mcp/.well-known/openid-configuration",
    ],
)  # fmt: skip
async def test_the_authorization_server_is_found_wherever_clients_look(app: App, path: str) -> None:
    response = await app.http.get(path, headers={"Host": "localhost:8080", "Origin": "https://app.example"})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.headers["access-control-allow-origin"] == "*"
    assert response.json()["issuer"] == ISSUER


async def test_the_issuer_is_the_same_bytes_on_every_host(make_app: MakeApp) -> None:
    app = await make_app(base_domain="example.com")
    bodies = [
        (await app.http.get("/.well-known/oauth-authorization-server", headers={"Host": host})).content
        for host in ("auth.example.com", "time.example.com", "evil.example", "127.0.0.1:8000")
    ]
    assert len(set(bodies)) == 1
    assert b'"issuer": "https://auth.example.com",' in bodies[0]


async def test_the_document_promises_exactly_what_is_configured(
    make_app: MakeApp,
) -> None:
    app = await make_app()
    document = (await app.http.get("/.well-known/oauth-authorization-server")).json()
    algorithms = list(ALGORITHMS)
    assert {"RS256", "PS256", "ES256", "EdDSA"} <= set(algorithms)
    methods = ["client_secret_basic", "client_secret_post", "private_key_jwt", "none"]
    assert document == {
        "issuer": ISSUER,
        "authorization_endpoint": f"{ISSUER}/authorize",
        "token_endpoint": f"{ISSUER}/token",
        "registration_endpoint": f"{ISSUER}/register",
        "device_authorization_endpoint": f"{ISSUER}/device_authorization",
        "revocation_endpoint": f"{ISSUER}/revoke",
        "introspection_endpoint": f"{ISSUER}/introspect",
        "jwks_uri": f"{ISSUER}/jwks",
        "scopes_supported": ["mcp", "offline_access"],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": [
            "authorization_code", "refresh_token", "client_credentials",
            "urn:ietf:params:oauth:grant-type:device_code",
        ],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
        "client_id_metadata_document_supported": True,
        "token_endpoint_auth_methods_supported": methods,
        "token_endpoint_auth_signing_alg_values_supported": algorithms,
        "revocation_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_signing_alg_values_supported": algorithms,
        "introspection_endpoint_auth_methods_supported": methods[:-1],
        "introspection_endpoint_auth_signing_alg_values_supported": algorithms,
    }  # fmt: skip
    openid = (await app.http.get("/.well-known/openid-configuration")).json()
    extra = {"subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["RS256"]}
    assert openid == document | extra
    other = await make_app(registration=False, client_documents=False, id_jag_issuer="https://idp.example",
                           id_jag_jwks_uri="https://idp.example/jwks")  # fmt: skip
    document = (await other.http.get("/.well-known/oauth-authorization-server")).json()
    assert "registration_endpoint" not in document
    assert document["client_id_metadata_document_supported"] is False
    assert document["grant_types_supported"][-1] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    assert document["authorization_grant_profiles_supported"] == [
        "urn:ietf:params:oauth:grant-profile:id-jag"
    ]


async def test_a_servers_metadata_is_at_the_address_its_challenge_names(app: App) -> None:
    challenge = (await app.forward(f"{ISSUER}/time/mcp")).headers["www-authenticate"]
    url = challenge.split('resource_metadata="')[1].split('"')[0]
    response = await app.http.get(url, headers={"Origin": "https://app.example"})
    assert response.headers["access-control-allow-origin"] == "*"
    assert response.json() == {
        "resource": f"{ISSUER}/time/mcp",
        "resource_name": "time",
        "authorization_servers": [ISSUER],
        "scopes_supported": ["mcp"],
        "bearer_methods_supported": ["header"],
    }


async def test_a_subdomains_metadata_is_at_its_path_and_at_its_root(
    make_app: MakeApp,
) -> None:
    app = await make_app(base_domain="example.com")
    for path in ("", "/mcp"):
        response = await app.http.get(
            f"/.well-known/oauth-protected-resource{path}", headers={"Host": "Time.example.com"}
        )
        assert response.json()["resource"] == "https://time.example.com/mcp"
        assert response.json()["authorization_servers"] == ["https://auth.example.com"]
    nested = "/.well-known/oauth-protected-resource/sub/mcp"
    response = await app.http.get(nested, headers={"Host": "time.example.com"})
    assert response.json()["resource"] == "https://time.example.com/sub/mcp"


@pytest.mark.parametrize(
    ("host", "path"),
    [
        ("evil.example", "/time/mcp"), ("localhost:8081", "/time/mcp"), ("localhost:8080", ""),
        ("localhost:8080", "/time"), ("localhost:8080", "/time/mcp//"),
        ("localhost:8080", "/token/mcp"), ("localhost:8080@evil.example", "/time/mcp"),
    ],
)  # fmt: skip
async def test_no_document_is_made_for_an_address_that_is_not_ours(app: App, host: str, path: str) -> None:
    headers = {"Host": host}
    response = await app.http.get(f"/.well-known/oauth-protected-resource{path}", headers=headers)
    assert response.status_code == 404
    assert response.json()["error"] == "not_found"


async def test_a_forwarded_host_counts_only_where_the_host_was_replaced_and_under_the_base(app: App) -> None:
    path = "/.well-known/oauth-protected-resource/time/mcp"
    replaced = {"Host": "auth:8000", "X-Forwarded-Host": "localhost:8080"}
    assert (await app.http.get(path, headers=replaced)).json()["resource"] == f"{ISSUER}/time/mcp"
    evil = {"Host": "auth:8000", "X-Forwarded-Host": "evil.example"}
    assert (await app.http.get(path, headers=evil)).status_code == 404
    poison = {"Host": "localhost:8080", "X-Forwarded-Host": "evil.example"}
    assert (await app.http.get(path, headers=poison)).json()["resource"] == f"{ISSUER}/time/mcp"


async def test_the_key_set_verifies_tokens_and_holds_every_live_key(app: App) -> None:
    first = (await app.ctx.keys.signing()).kid
    second = (await app.ctx.keys.rotate()).kid
    response = await app.http.get("/jwks")
    assert [key["kid"] for key in response.json()["keys"]] == [second, first]
    assert all(set(key) == {"kty", "use", "alg", "kid", "n", "e"} for key in response.json()["keys"])
