"""Tokens without a browser: client credentials, ID-JAG, and the clients that the operator enters."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp_oauth_dynamicclient.clients import ClientRegistry
from mcp_oauth_dynamicclient.errors import SettingsError
from mcp_oauth_dynamicclient.store import Store

from ..support import Clock
from .support import Gateway, MakeGateway, MakeSigner, Signer

ISSUER = "http://localhost:8080"
TIME = "http://localhost:8080/time/mcp"
ECHO = "http://localhost:8080/echo/mcp"
IDP = "https://idp.example"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


async def machine(gateway: Gateway, **metadata: Any) -> Any:
    given = {"client_name": "Nightly", "grant_types": ["client_credentials"]}
    return await gateway.ctx.clients.preregister(given | metadata)


async def test_a_machine_with_a_secret_gets_a_token_of_its_own(gateway: Gateway) -> None:
    registration = await machine(gateway)
    response = await gateway.post(
        "/token",
        grant_type="client_credentials",
        resource=TIME,
        auth=(registration.client.client_id, registration.client_secret),
    )
    assert response.status_code == 200, response.text
    assert "refresh_token" not in response.json()
    claims = await gateway.ctx.tokens.verify(response.json()["access_token"])
    assert (claims["aud"], claims["sub"]) == (TIME, f"client:{registration.client.client_id}")
    assert await gateway.is_live(response.json()["access_token"])


@pytest.mark.parametrize("audience", [ISSUER, f"{ISSUER}/token"])
async def test_a_machine_with_a_key_gets_a_token_of_its_own(
    gateway: Gateway, signer: MakeSigner, clock: Clock, audience: str
) -> None:
    key = signer("ES256")
    registration = await machine(gateway, token_endpoint_auth_method="private_key_jwt", jwks=key.jwks)
    name = registration.client.client_id
    claims = {"iss": name, "sub": name, "aud": audience, "jti": "1", "exp": int(clock()) + 60}
    response = await gateway.post(
        "/token",
        grant_type="client_credentials",
        client_assertion=key.sign(claims),
        client_assertion_type=ASSERTION_TYPE,
    )
    assert response.status_code == 200, response.text


async def test_nobody_becomes_a_machine_by_registering(gateway: Gateway) -> None:
    """Open registration must not be a way to a token without a person."""
    client = await gateway.register(
        grant_types=["authorization_code", "client_credentials"],
        token_endpoint_auth_method="client_secret_post",
    )
    fields = {"client_id": client["client_id"], "client_secret": client["client_secret"]}
    refused = await gateway.post("/token", grant_type="client_credentials", **fields)
    assert (refused.status_code, refused.json()["error"]) == (400, "unauthorized_client")
    update = await gateway.http.put(
        f"/register/{client['client_id']}",
        json={"client_id": client["client_id"], "grant_types": ["client_credentials"]},
        headers={"authorization": f"Bearer {client['registration_access_token']}"},
    )
    assert update.status_code == 400


async def test_a_stored_client_that_claims_the_grant_still_needs_the_operator(gateway: Gateway) -> None:
    registration = await machine(gateway)
    claimed = registration.client.model_copy(update={"source": "dynamic"})
    await gateway.ctx.store.put("client", claimed.client_id, claimed.model_dump())
    refused = await gateway.post(
        "/token", grant_type="client_credentials", auth=(claimed.client_id, registration.client_secret)
    )
    assert (refused.status_code, refused.json()["error"]) == (400, "unauthorized_client")


async def test_a_document_does_not_make_a_machine_either(
    gateway: Gateway, signer: MakeSigner, clock: Clock
) -> None:
    url, key = "https://client.example/c.json", signer()
    gateway.internet.publish(
        url,
        {
            "client_id": url,
            "client_name": "X",
            "redirect_uris": ["https://client.example/cb"],
            "grant_types": ["authorization_code", "client_credentials"],
            "token_endpoint_auth_method": "private_key_jwt",
            "jwks": key.jwks,
        },
    )
    claims = {"iss": url, "sub": url, "aud": ISSUER, "jti": "1", "exp": int(clock()) + 60}
    refused = await gateway.post(
        "/token",
        grant_type="client_credentials",
        client_assertion=key.sign(claims),
        client_assertion_type=ASSERTION_TYPE,
    )
    assert (refused.status_code, refused.json()["error"]) == (400, "unauthorized_client")


async def test_a_public_client_is_no_machine(gateway: Gateway) -> None:
    registration = await machine(gateway, token_endpoint_auth_method="none")
    refused = await gateway.post(
        "/token", grant_type="client_credentials", client_id=registration.client.client_id
    )
    assert (refused.status_code, refused.json()["error"]) == (400, "unauthorized_client")


async def test_preregistered_clients_never_expire_and_keep_the_name_the_operator_gave(
    gateway: Gateway, clock: Clock
) -> None:
    registration = await machine(gateway, client_id="nightly")
    clock.advance(10 * 365 * 86400)
    client = await gateway.client("nightly")
    assert (client.client_id, client.source) == ("nightly", "preregistered")
    assert registration.client_secret not in repr(client)


# CLIENTS_FILE


async def test_clients_come_from_a_file(make_gateway: MakeGateway, tmp_path: Path) -> None:
    entries = [
        {"client_id": "desk", "redirect_uris": ["http://127.0.0.1/cb"], "token_endpoint_auth_method": "none"},
        {
            "client_id": "cron",
            "client_secret": "a-long-secret-of-the-operator",
            "grant_types": ["client_credentials"],
            "token_endpoint_auth_method": "client_secret_post",
        },
    ]
    (tmp_path / "clients.json").write_text(json.dumps(entries))
    gateway = await make_gateway(clients_file=tmp_path / "clients.json")
    assert [client.client_id async for client in gateway.ctx.clients.list()] == ["desk", "cron"]
    fields = {"client_id": "cron", "client_secret": "a-long-secret-of-the-operator"}
    response = await gateway.post("/token", grant_type="client_credentials", **fields)
    assert response.status_code == 200, response.text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "cannot be read as JSON"),
        ("{}", "must contain a JSON array"),
        ("[7]", "client 1 must be an object"),
        ('[{"redirect_uris": ["https://x.example/"]}]', "client 1 must be an object with a client_id"),
        ('[{"client_id": "a"}]', "redirect_uris"),
        ('[{"client_id": "a", "redirect_uris": ["https://x.example/"]}]', "client_secret"),
        (
            '[{"client_id": "a", "redirect_uris": ["https://x.example/"], "client_secret": "short"}]',
            "24 characters",
        ),
        (
            '[{"client_id": "a", "redirect_uris": ["https://x.example/"], '
            '"token_endpoint_auth_method": "none",'
            ' "client_secret": "a-long-secret-of-the-operator"}]',
            "this client uses none",
        ),
        (
            '[{"client_id": "a", "redirect_uris": ["https://x.example/"], '
            '"token_endpoint_auth_method": "none"},'
            ' {"client_id": "a", "redirect_uris": ["https://x.example/"], '
            '"token_endpoint_auth_method": "none"}]',
            "client 2 repeats",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line_that_says_why(
    make_settings: Callable[..., Any], store: Store, tmp_path: Path, text: str, says: str
) -> None:
    (tmp_path / "clients.json").write_text(text)
    with pytest.raises(SettingsError, match=says) as caught:
        ClientRegistry(make_settings(clients_file=tmp_path / "clients.json"), store)
    assert str(caught.value).startswith("CLIENTS_FILE")
    assert "\n" not in str(caught.value)


# Enterprise-managed authorization


@dataclass
class Enterprise:
    """A gateway, the key of the identity provider that it trusts, and the secret of its client `agent`."""

    gateway: Gateway
    key: Signer
    secret: str


@pytest.fixture
async def enterprise(make_gateway: MakeGateway, signer: MakeSigner) -> Enterprise:
    gateway = await make_gateway(id_jag_issuer=IDP)
    key = signer(kid="idp-1")
    gateway.upstream[f"{IDP}/.well-known/openid-configuration"] = {"issuer": IDP, "jwks_uri": f"{IDP}/jwks"}
    gateway.upstream[f"{IDP}/jwks"] = key.jwks
    registration = await gateway.ctx.clients.preregister({"client_id": "agent", "grant_types": [JWT_BEARER]})
    return Enterprise(gateway, key, str(registration.client_secret))


def jag(clock: Clock, **changes: Any) -> dict[str, Any]:
    now = int(clock())
    whole = {
        "iss": IDP,
        "sub": "u-17",
        "aud": ISSUER,
        "client_id": "agent",
        "jti": "j-1",
        "iat": now,
        "exp": now + 300,
        "resource": TIME,
        "scope": "mcp",
        "email": "grace@corp.example",
    }
    return {name: value for name, value in (whole | changes).items() if value is not None}


async def exchange(
    enterprise: Enterprise, claims: dict[str, Any], typ: str = "oauth-id-jag+jwt", **fields: str
) -> httpx.Response:
    assertion = enterprise.key.sign(claims, typ=typ)
    auth = ("agent", enterprise.secret)
    asked = {"grant_type": JWT_BEARER, "assertion": assertion} | fields
    return await enterprise.gateway.post("/token", auth=auth, **asked)


async def test_an_assertion_of_the_identity_provider_buys_a_token_for_the_person(
    enterprise: Enterprise, clock: Clock
) -> None:
    response = await exchange(enterprise, jag(clock), resource=TIME)
    assert response.status_code == 200, response.text
    assert "refresh_token" not in response.json()
    claims = await enterprise.gateway.ctx.tokens.verify(response.json()["access_token"])
    assert (claims["sub"], claims["aud"], claims["client_id"]) == ("id-jag:u-17", TIME, "agent")
    assert await enterprise.gateway.is_live(response.json()["access_token"])


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"aud": "https://else.example"}, "invalid_grant"),
        ({"aud": f"{ISSUER}/token"}, "invalid_grant"),
        ({"iss": "https://evil.example"}, "invalid_grant"),
        ({"client_id": "another"}, "invalid_grant"),
        ({"client_id": None}, "invalid_grant"),
        ({"jti": None}, "invalid_grant"),
        ({"exp": 1}, "invalid_grant"),
        ({"exp": 99_999_999_999}, "invalid_grant"),
        ({"exp": None}, "invalid_grant"),
        ({"iat": None}, "invalid_grant"),
        ({"sub": None}, "invalid_grant"),
        ({"resource": None}, "invalid_grant"),
        ({"resource": "https://else.example/mcp"}, "invalid_grant"),
        ({"resource": [TIME, ECHO]}, "invalid_grant"),
        ({"scope": "admin"}, "invalid_scope"),
        ({"aud": [ISSUER, "https://else.example"]}, "invalid_grant"),
        ({"authorization_details": [{"type": "mcp", "tools": ["read"]}]}, "invalid_grant"),
        ({"cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}}, "invalid_grant"),
        ({"exp": 10**400}, "invalid_grant"),
    ],
)
async def test_an_assertion_that_breaks_a_rule_buys_nothing(
    enterprise: Enterprise, clock: Clock, change: dict[str, Any], error: str
) -> None:
    refused = await exchange(enterprise, jag(clock, **change))
    assert (refused.status_code, refused.json()["error"]) == (400, error)
    assert [entry async for entry in enterprise.gateway.ctx.store.list("grant")] == []


async def test_an_assertion_counts_once(enterprise: Enterprise, clock: Clock) -> None:
    assert (await exchange(enterprise, jag(clock))).status_code == 200
    assert (await exchange(enterprise, jag(clock))).json()["error"] == "invalid_grant"


@pytest.mark.parametrize("typ", ["JWT", "at+jwt", ""])
async def test_another_kind_of_jwt_is_not_an_id_jag(enterprise: Enterprise, clock: Clock, typ: str) -> None:
    assert (await exchange(enterprise, jag(clock), typ)).json()["error"] == "invalid_grant"


async def test_another_server_than_the_one_in_the_assertion_cannot_be_had(
    enterprise: Enterprise, clock: Clock
) -> None:
    refused = await exchange(enterprise, jag(clock), resource=ECHO)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_target")


async def test_a_key_of_somebody_else_is_refused_and_a_rotated_one_found(
    enterprise: Enterprise, clock: Clock, signer: MakeSigner
) -> None:
    assert (await exchange(enterprise, jag(clock))).status_code == 200
    enterprise.key = signer(kid="idp-2")
    assert (await exchange(enterprise, jag(clock, jti="j-2"))).json()["error"] == "invalid_grant"
    enterprise.gateway.upstream[f"{IDP}/jwks"] = enterprise.key.jwks
    clock.advance(31)
    assert (await exchange(enterprise, jag(clock, jti="j-3"))).status_code == 200


async def test_an_identity_provider_that_is_away_is_a_503(enterprise: Enterprise, clock: Clock) -> None:
    del enterprise.gateway.upstream[f"{IDP}/jwks"]
    response = await exchange(enterprise, jag(clock))
    assert (response.status_code, response.json()["error"]) == (503, "temporarily_unavailable")


async def test_without_a_trusted_provider_the_grant_does_not_exist(
    gateway: Gateway, signer: MakeSigner, clock: Clock
) -> None:
    client = await gateway.register(grant_types=["authorization_code", JWT_BEARER])
    assert client["grant_types"] == ["authorization_code"]
    refused = await gateway.post(
        "/token", grant_type=JWT_BEARER, client_id=client["client_id"], assertion="a.b.c"
    )
    assert (refused.status_code, refused.json()["error"]) == (400, "unsupported_grant_type")
