"""Client authentication: RFC 6749 section 2.3, RFC 7523 section 2.2."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from ..support import Clock
from .support import Gateway, MakeGateway, MakeSigner

ISSUER = "http://localhost:8080"
CALLBACK = "https://client.example/callback"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def assert_invalid_client(response: httpx.Response) -> None:
    assert (response.status_code, response.json()["error"]) == (401, "invalid_client")
    assert response.headers["www-authenticate"].startswith("Basic realm=")
    assert response.headers["cache-control"] == "no-store"


async def ask(gateway: Gateway, **options: Any) -> httpx.Response:
    """A request that ends with invalid_grant once the client is authenticated."""
    response: httpx.Response = await gateway.post(
        "/token", grant_type="refresh_token", refresh_token="none", **options
    )
    return response


def is_authenticated(response: httpx.Response) -> bool:
    return bool(response.json()["error"] == "invalid_grant")


@pytest.mark.parametrize("method", ["none", "client_secret_basic", "client_secret_post"])
async def test_the_registered_method_works_and_no_other(gateway: Gateway, method: str) -> None:
    client = await gateway.register(token_endpoint_auth_method=method)
    secret = client.get("client_secret", "s" * 43)
    answers = {
        "none": await ask(gateway, client_id=client["client_id"]),
        "client_secret_basic": await ask(gateway, auth=(client["client_id"], secret)),
        "client_secret_post": await ask(gateway, client_id=client["client_id"], client_secret=secret),
    }
    for name, response in answers.items():
        if name == method:
            assert is_authenticated(response)
        else:
            assert_invalid_client(response)


async def test_oa4_a_confidential_client_cannot_leave_its_secret_out_anywhere(gateway: Gateway) -> None:
    client = await gateway.register(token_endpoint_auth_method="client_secret_post")
    for path in ("/token", "/revoke", "/introspect", "/device_authorization"):
        assert_invalid_client(
            await gateway.post(path, grant_type="refresh_token", client_id=client["client_id"], token="x")
        )


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
async def test_a_wrong_secret_is_refused(gateway: Gateway, method: str) -> None:
    client, other = [await gateway.register(token_endpoint_auth_method=method) for _ in range(2)]
    for wrong in (
        "wrong",
        client["client_secret"][:-1],
        client["client_secret"] + "x",
        other["client_secret"],
    ):
        if method == "client_secret_basic":
            assert_invalid_client(await ask(gateway, auth=(client["client_id"], wrong)))
        else:
            assert_invalid_client(await ask(gateway, client_id=client["client_id"], client_secret=wrong))


@pytest.mark.parametrize(
    "header",
    [
        "Basic",
        "Basic ",
        "Basic !!!",
        "Basic " + base64.b64encode(b"no-colon").decode(),
        "Basic " + base64.b64encode(b":secret").decode(),
        "Basic " + base64.b64encode(b"\xff:\xfe").decode(),
        "Bearer abc",
        "Digest username=x",
        "x",
    ],
)
async def test_oa13_a_malformed_authorization_header_is_401_and_not_422(
    gateway: Gateway, header: str
) -> None:
    response = await gateway.http.post(
        "/token", data={"grant_type": "authorization_code", "code": "x"}, headers={"authorization": header}
    )
    assert_invalid_client(response)


async def test_basic_credentials_may_be_form_encoded_as_the_rfc_says(
    make_gateway: MakeGateway, tmp_path: Path
) -> None:
    secret = "a secret: with %, + and ü, long enough"
    entry = {"client_id": "machine one", "client_secret": secret, "redirect_uris": [CALLBACK]}
    (tmp_path / "clients.json").write_text(json.dumps([entry]))
    gateway = await make_gateway(clients_file=tmp_path / "clients.json")
    encoded = httpx.QueryParams({"s": secret})
    assert is_authenticated(await ask(gateway, auth=("machine+one", str(encoded)[2:])))
    raw = base64.b64encode(f"machine one:{secret}".encode()).decode()
    response = await gateway.http.post(
        "/token",
        data={"grant_type": "refresh_token", "refresh_token": "none"},
        headers={"authorization": f"Basic {raw}"},
    )
    assert is_authenticated(response)


async def test_an_unknown_client_is_told_to_register_again(gateway: Gateway) -> None:
    assert_invalid_client(await ask(gateway, client_id="client_unknown"))
    assert_invalid_client(await ask(gateway, auth=("client_unknown", "x")))


async def test_a_request_that_names_no_client_is_refused(gateway: Gateway) -> None:
    assert_invalid_client(await ask(gateway))


async def test_two_ways_at_once_are_an_invalid_request(gateway: Gateway) -> None:
    client = await gateway.register(token_endpoint_auth_method="client_secret_basic")
    credentials = (client["client_id"], client["client_secret"])
    twice = await ask(gateway, auth=credentials, client_secret=client["client_secret"])
    assert (twice.status_code, twice.json()["error"]) == (400, "invalid_request")
    assert is_authenticated(await ask(gateway, auth=credentials, client_id=client["client_id"]))
    assert_invalid_client(await ask(gateway, auth=credentials, client_id="another"))


async def test_an_unusable_document_is_an_invalid_client(gateway: Gateway) -> None:
    gateway.internet.publish("https://client.example/c.json", {"client_id": "https://other.example/c.json"})
    assert_invalid_client(await ask(gateway, client_id="https://client.example/c.json"))


# private_key_jwt


MakeClaims = Callable[..., dict[str, Any]]
"""Takes the client_id, and claims that differ."""


@pytest.fixture
def claims(clock: Clock) -> MakeClaims:
    def make(client_id: str, **changes: Any) -> dict[str, Any]:
        now = int(clock())
        whole = {"iss": client_id, "sub": client_id, "aud": ISSUER, "jti": "1", "iat": now, "exp": now + 300}
        return {name: value for name, value in (whole | changes).items() if value is not None}

    return make


async def prove(gateway: Gateway, assertion: str, **fields: str) -> httpx.Response:
    given = {"client_assertion": assertion, "client_assertion_type": ASSERTION_TYPE}
    return await ask(gateway, **(given | fields))


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
@pytest.mark.parametrize("audience", [ISSUER, f"{ISSUER}/token", [ISSUER], [ISSUER, f"{ISSUER}/token"]])
async def test_a_key_authenticates_for_the_issuer_or_the_token_endpoint(
    gateway: Gateway, signer: MakeSigner, claims: MakeClaims, algorithm: str, audience: Any
) -> None:
    key = signer(algorithm)
    client = await gateway.register(token_endpoint_auth_method="private_key_jwt", jwks=key.jwks)
    assert "client_secret" not in client
    assertion = key.sign(claims(client["client_id"], aud=audience))
    assert is_authenticated(await prove(gateway, assertion))
    again = key.sign(claims(client["client_id"], aud=audience, jti="2"))
    assert is_authenticated(await prove(gateway, again, client_id=client["client_id"]))


@pytest.mark.parametrize(
    "change",
    [
        {"aud": "https://else.example"},
        {"aud": None},
        {"aud": f"{ISSUER}/"},
        {"aud": [ISSUER, "https://else.example"]},
        {"exp": 10**400},
        {"iss": "another"},
        {"sub": "another"},
        {"jti": None},
        {"jti": 7},
        {"exp": None},
        {"exp": "soon"},
        {"exp": 1},
        {"exp": 99_999_999_999},
        {"iat": 99_999_999_999},
        {"nbf": 99_999_999_999},
    ],
)
async def test_an_assertion_that_breaks_a_rule_is_refused(
    gateway: Gateway, signer: MakeSigner, claims: MakeClaims, change: dict[str, Any]
) -> None:
    key = signer()
    client = await gateway.register(token_endpoint_auth_method="private_key_jwt", jwks=key.jwks)
    assert_invalid_client(await prove(gateway, key.sign(claims(client["client_id"], **change))))


async def test_an_assertion_counts_once_on_every_replica(
    gateway: Gateway, make_gateway: MakeGateway, signer: MakeSigner, claims: MakeClaims
) -> None:
    replica, key = await make_gateway(), signer()
    client = await gateway.register(token_endpoint_auth_method="private_key_jwt", jwks=key.jwks)
    assertion = key.sign(claims(client["client_id"]))
    assert is_authenticated(await prove(gateway, assertion))
    assert_invalid_client(await prove(replica, assertion))


async def test_another_key_and_other_algorithms_are_refused(
    gateway: Gateway, signer: MakeSigner, claims: MakeClaims
) -> None:
    key, other = signer(), signer()
    client = await gateway.register(token_endpoint_auth_method="private_key_jwt", jwks=key.jwks)
    given = claims(client["client_id"])
    unsigned = ".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
        for part in ({"alg": "none"}, given)
    )
    modulus = key.jwks["keys"][0]["n"]
    forged = _hmac(given, modulus.encode())
    for assertion in (other.sign(given), f"{unsigned}.", forged, "x", "x.y.z", "a" * 20_000):
        assert_invalid_client(await prove(gateway, assertion))


def _hmac(claims: dict[str, Any], key: bytes) -> str:
    import hashlib
    import hmac

    head, body = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
        for part in ({"alg": "HS256", "kid": "one", "typ": "JWT"}, claims)
    )
    tag = base64.urlsafe_b64encode(hmac.new(key, head + b"." + body, hashlib.sha256).digest()).rstrip(b"=")
    return (head + b"." + body + b"." + tag).decode()


async def test_the_registered_algorithm_is_the_only_one(
    gateway: Gateway, signer: MakeSigner, claims: MakeClaims
) -> None:
    key = signer("ES256")
    client = await gateway.register(
        token_endpoint_auth_method="private_key_jwt", jwks=key.jwks, token_endpoint_auth_signing_alg="RS256"
    )
    assert_invalid_client(await prove(gateway, key.sign(claims(client["client_id"]))))


async def test_a_client_registered_for_a_key_cannot_come_without(
    gateway: Gateway, signer: MakeSigner
) -> None:
    client = await gateway.register(token_endpoint_auth_method="private_key_jwt", jwks=signer().jwks)
    assert_invalid_client(await ask(gateway, client_id=client["client_id"]))


async def test_another_assertion_type_is_an_invalid_request(
    gateway: Gateway, signer: MakeSigner, claims: MakeClaims
) -> None:
    key = signer()
    client = await gateway.register(token_endpoint_auth_method="private_key_jwt", jwks=key.jwks)
    response = await prove(gateway, key.sign(claims(client["client_id"])), client_assertion_type="saml")
    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


async def test_keys_at_a_url_are_fetched_safely_and_again_after_they_changed(
    gateway: Gateway, signer: MakeSigner, claims: MakeClaims, clock: Clock
) -> None:
    url = "https://client.example/jwks.json"
    old, new = signer(kid="old"), signer(kid="new")
    gateway.internet.publish(url, old.jwks)
    client = await gateway.register(token_endpoint_auth_method="private_key_jwt", jwks_uri=url)
    assert is_authenticated(await prove(gateway, old.sign(claims(client["client_id"], jti="1"))))
    gateway.internet.publish(url, new.jwks)
    clock.advance(61)
    assert is_authenticated(await prove(gateway, new.sign(claims(client["client_id"], jti="2"))))
    assert_invalid_client(await prove(gateway, old.sign(claims(client["client_id"], jti="3"))))


async def test_a_wrong_key_cannot_make_the_gateway_fetch_without_end(
    gateway: Gateway, signer: MakeSigner, claims: MakeClaims
) -> None:
    url = "https://client.example/jwks.json"
    gateway.internet.publish(url, signer().jwks)
    client = await gateway.register(token_endpoint_auth_method="private_key_jwt", jwks_uri=url)
    stranger = signer(kid="else")
    for number in range(5):
        assert_invalid_client(
            await prove(gateway, stranger.sign(claims(client["client_id"], jti=str(number))))
        )
    assert len(gateway.internet.connections) == 1


async def test_keys_inside_the_network_are_never_asked_for(
    gateway: Gateway, signer: MakeSigner, claims: MakeClaims
) -> None:
    key = signer()
    gateway.internet.addresses["inside.example"] = ["169.254.169.254"]
    client = await gateway.register(
        token_endpoint_auth_method="private_key_jwt", jwks_uri="https://inside.example/jwks.json"
    )
    assert_invalid_client(await prove(gateway, key.sign(claims(client["client_id"]))))
    assert gateway.internet.connections == []
