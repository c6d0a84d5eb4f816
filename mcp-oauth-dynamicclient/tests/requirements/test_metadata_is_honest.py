"""RFC 8414: every promise of the served metadata is kept. Requests are derived from the document alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from jose import jwt

from .support import Key, Serve, Served

SERVER = "http://localhost:8080/time/mcp"
DOCUMENT = "https://client.example/oauth/client.json"
CALLBACK = "https://client.example/callback"
IDENTITY_PROVIDER = "https://idp.example"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"


async def test_every_url_is_one_of_the_issuers_and_answers(served: Served) -> None:
    issuer = served.metadata["issuer"]
    urls = {
        name: value
        for name, value in served.metadata.items()
        if name.endswith("_endpoint") or name == "jwks_uri"
    }
    assert len(urls) == 7
    for name, url in urls.items():
        assert url.startswith(f"{issuer}/"), name
        get = name in ("authorization_endpoint", "jwks_uri")
        response = await served.http.request("GET" if get else "POST", url)
        assert response.status_code not in (404, 405, 500), name
        other = await served.http.request("DELETE", url)
        assert other.status_code == 405, name


async def test_every_grant_type_gives_a_token_that_opens_its_server(
    served: Served, key: Callable[[str], Key]
) -> None:
    async def authorization_code() -> Any:
        return await served.tokens(await served.register())

    async def refresh_token() -> Any:
        client = await served.register()
        first = await served.tokens(client)
        refreshed = await served.ask(
            "token_endpoint", client, grant_type="refresh_token", refresh_token=first["refresh_token"]
        )
        return refreshed.json()

    async def client_credentials() -> Any:
        machine = await served.enter("machine", "client_credentials", method="client_secret_basic")
        response = await served.ask(
            "token_endpoint", machine, grant_type="client_credentials", resource=SERVER
        )
        return response.json()

    async def device_code() -> Any:
        client = await served.register(grant_types=[DEVICE_CODE], redirect_uris=None)
        begun = (await served.ask("device_authorization_endpoint", client, resource=SERVER)).json()
        page = await served.person.open(begun["verification_uri_complete"])
        consent = await served.person.submit(page, decision="find")
        await served.person.approve(consent)
        response = await served.ask(
            "token_endpoint", client, grant_type=DEVICE_CODE, device_code=begun["device_code"]
        )
        return response.json()

    async def id_jag() -> Any:
        provider, now = key("RS256"), int(served.clock())
        served.web[f"{IDENTITY_PROVIDER}/.well-known/openid-configuration"] = {
            "issuer": IDENTITY_PROVIDER,
            "jwks_uri": f"{IDENTITY_PROVIDER}/jwks",
        }
        served.web[f"{IDENTITY_PROVIDER}/jwks"] = provider.jwks
        agent = await served.enter("agent", JWT_BEARER, method="client_secret_post")
        claims = {"iss": IDENTITY_PROVIDER, "aud": served.metadata["issuer"], "sub": "u-1", "jti": "j-1"}
        claims |= {"client_id": "agent", "resource": SERVER, "iat": now, "exp": now + 60}
        assertion = provider.sign(claims, typ="oauth-id-jag+jwt")
        response = await served.ask("token_endpoint", agent, grant_type=JWT_BEARER, assertion=assertion)
        return response.json()

    performed = {
        "authorization_code": authorization_code,
        "refresh_token": refresh_token,
        "client_credentials": client_credentials,
        DEVICE_CODE: device_code,
        JWT_BEARER: id_jag,
    }
    assert set(served.metadata["grant_types_supported"]) == set(performed)
    assert served.metadata["authorization_grant_profiles_supported"] == [
        "urn:ietf:params:oauth:grant-profile:id-jag"
    ]
    for name in served.metadata["grant_types_supported"]:
        tokens = await performed[name]()
        assert "access_token" in tokens, (name, tokens)
        assert await served.opens(tokens["access_token"]), name


async def test_a_grant_type_that_is_not_promised_is_not_there(serve: Serve) -> None:
    served = await serve(id_jag_issuer=None)
    assert JWT_BEARER not in served.metadata["grant_types_supported"]
    client = await served.register()
    for name in (JWT_BEARER, "password", "implicit", "urn:ietf:params:oauth:grant-type:token-exchange"):
        response = await served.ask("token_endpoint", client, grant_type=name)
        assert response.json()["error"] == "unsupported_grant_type", name


@pytest.mark.parametrize("endpoint", ["token", "revocation", "introspection"])
async def test_every_authentication_method_works_and_no_other(
    served: Served, key: Callable[[str], Key], endpoint: str
) -> None:
    promised = served.metadata[f"{endpoint}_endpoint_auth_methods_supported"]
    for method in served.metadata["token_endpoint_auth_methods_supported"]:
        keys = key("RS256") if method == "private_key_jwt" else None
        named = {"jwks": keys.jwks} if keys else {}
        client = await served.register(token_endpoint_auth_method=method, **named)
        tokens = await served.tokens(client, keys)
        fields = {"token": tokens["access_token"]}
        if endpoint == "token":
            fields = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
        response = await served.ask(f"{endpoint}_endpoint", client, keys, **fields)
        assert (response.status_code == 200) is (method in promised), (method, response.text)


@pytest.mark.parametrize("endpoint", ["token", "revocation", "introspection"])
async def test_every_signing_algorithm_of_assertions_works(
    served: Served, key: Callable[[str], Key], endpoint: str
) -> None:
    for algorithm in served.metadata[f"{endpoint}_endpoint_auth_signing_alg_values_supported"]:
        keys = key(algorithm)
        client = await served.enter(
            f"machine-{algorithm}", "client_credentials", method="private_key_jwt", jwks=keys.jwks
        )
        fields = {"token": "x"} if endpoint != "token" else {"grant_type": "client_credentials"}
        response = await served.ask(f"{endpoint}_endpoint", client, keys, **fields)
        assert response.status_code == 200, (algorithm, response.text)


async def test_code_is_the_only_response_type_and_query_the_only_mode(served: Served) -> None:
    client = await served.register()
    assert served.metadata["response_types_supported"] == ["code"]
    assert served.metadata["response_modes_supported"] == ["query"]
    answer, _ = await served.authorize(client["client_id"], response_mode="query")
    assert set(answer) == {"code", "state", "iss"}
    for refused in ({"response_type": "token"}, {"response_type": "code id_token"}):
        told, _ = await served.authorize(client["client_id"], **refused)
        assert told["error"] == "unsupported_response_type"
    for mode in ("fragment", "form_post"):
        told, _ = await served.authorize(client["client_id"], response_mode=mode)
        assert told["error"] == "invalid_request"


async def test_s256_works_and_plain_and_none_do_not(served: Served) -> None:
    client = await served.register()
    assert served.metadata["code_challenge_methods_supported"] == ["S256"]
    answer, verifier = await served.authorize(client["client_id"], code_challenge_method="S256")
    assert (await served.redeem(client, answer["code"], verifier)).status_code == 200
    for changes in ({"code_challenge_method": "plain"}, {"code_challenge_method": None}):
        told, _ = await served.authorize(client["client_id"], **changes)
        assert told["error"] == "invalid_request"
    told, _ = await served.authorize(client["client_id"], code_challenge=None, code_challenge_method=None)
    assert told["error"] == "invalid_request"


async def test_every_scope_can_be_had_and_no_other(served: Served) -> None:
    client = await served.register()
    for scope in served.metadata["scopes_supported"]:
        tokens = await served.tokens(client, scope=scope)
        assert scope in tokens["scope"].split()
        assert "refresh_token" in tokens
    tokens = await served.tokens(client, scope="mcp admin")
    assert tokens["scope"] == "mcp"


async def test_the_issuer_parameter_comes_with_success_and_with_errors(served: Served) -> None:
    assert served.metadata["authorization_response_iss_parameter_supported"] is True
    client = await served.register()
    success, _ = await served.authorize(client["client_id"])
    error, _ = await served.authorize(client["client_id"], response_type="token")
    assert "code" in success
    assert "error" in error
    assert success["iss"] == error["iss"] == served.metadata["issuer"]


@pytest.mark.parametrize("supported", [True, False])
async def test_metadata_documents_identify_clients_as_the_flag_says(serve: Serve, supported: bool) -> None:
    served = await serve(client_documents=supported)
    assert served.metadata["client_id_metadata_document_supported"] is supported
    document = {"client_id": DOCUMENT, "client_name": "Documented", "redirect_uris": [CALLBACK]}
    served.web[DOCUMENT] = document | {"token_endpoint_auth_method": "none"}
    if supported:
        client = {"client_id": DOCUMENT, "token_endpoint_auth_method": "none"}
        assert await served.opens((await served.tokens(client))["access_token"])
    else:
        page = await served.person.open(served.authorize_url(DOCUMENT, "A" * 43))
        assert page.status_code >= 400
        assert "location" not in page.headers


async def test_registration_is_there_exactly_when_it_is_named(serve: Serve) -> None:
    closed = await serve(registration=False)
    assert "registration_endpoint" not in closed.metadata
    issuer = closed.metadata["issuer"]
    refused = await closed.http.post(f"{issuer}/register", json={"redirect_uris": [CALLBACK]})
    assert refused.status_code == 403


async def test_the_key_set_verifies_the_tokens(served: Served) -> None:
    keys = (await served.http.get(served.metadata["jwks_uri"])).json()
    token = (await served.tokens(await served.register()))["access_token"]
    issuer = served.metadata["issuer"]
    claims = jwt.decode(token, keys, "RS256", audience=SERVER, issuer=issuer)
    assert claims["iss"] == issuer


async def test_the_revocation_endpoint_revokes_and_introspection_says_so(served: Served) -> None:
    client = await served.register(token_endpoint_auth_method="client_secret_post")
    tokens = await served.tokens(client)
    for expected in (True, False):
        asked = await served.ask("introspection_endpoint", client, token=tokens["access_token"])
        assert asked.json()["active"] is expected
        await served.ask("revocation_endpoint", client, token=tokens["refresh_token"])
    assert not await served.opens(tokens["access_token"])
