"""Dynamic client registration (RFC 7591) and its management (RFC 7592)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcp_oauth_dynamicclient import scopes
from mcp_oauth_dynamicclient.clients import metadata as rules
from mcp_oauth_dynamicclient.errors import InvalidClientMetadataError, InvalidRedirectURIError
from mcp_oauth_dynamicclient.settings import load_settings

from ..support import Clock
from .support import Gateway, MakeGateway

CALLBACK = "https://client.example/callback"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def test_the_whole_metadata_is_kept_and_returned(gateway: Gateway) -> None:
    sent = {
        "redirect_uris": [CALLBACK, "http://localhost:7777/cb"],
        "token_endpoint_auth_method": "client_secret_post",
        "grant_types": ["authorization_code", "refresh_token", DEVICE],
        "response_types": ["code"],
        "application_type": "native",
        "client_name": "Reader",
        "client_name#ja": "リーダー",
        "client_uri": "https://client.example",
        "logo_uri": "https://client.example/logo.png",
        "tos_uri": "https://client.example/tos",
        "policy_uri": "https://client.example/policy",
        "contacts": ["ops@client.example"],
        "scope": "mcp offline_access",
        "software_id": "4e4f",
        "software_version": "1.2",
    }
    response = await gateway.http.post("/register", json=sent)
    assert response.status_code == 201
    assert response.headers["cache-control"] == "no-store"
    answer = response.json()
    assert {name: answer[name] for name in sent} == sent
    assert answer["client_secret_expires_at"] == 0
    assert answer["registration_client_uri"] == f"http://localhost:8080/register/{answer['client_id']}"
    assert answer["registration_access_token"]
    assert answer["client_id_issued_at"] == int(gateway.ctx.now())
    read = await gateway.http.get(
        f"/register/{answer['client_id']}", headers=bearer(answer["registration_access_token"])
    )
    assert read.status_code == 200
    assert {name: read.json()[name] for name in sent} == sent


async def test_null_and_empty_members_are_treated_as_omitted_and_never_returned(gateway: Gateway) -> None:
    answer = await gateway.register(client_uri=None, logo_uri="", contacts=[], jwks=None, tos_uri=None)
    assert None not in answer.values()
    assert "" not in answer.values()
    assert not {"client_uri", "logo_uri", "contacts", "jwks", "tos_uri"} & set(answer)
    assert "client_secret" not in answer


async def test_members_that_are_not_understood_are_not_promised(gateway: Gateway) -> None:
    answer = await gateway.register(
        dpop_bound_access_tokens=True, client_secret="chosen-by-the-client", x={"y": 1}
    )
    assert not {"dpop_bound_access_tokens", "client_secret", "x"} & set(answer)


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        (None, "client_secret_basic"),
        ("client_secret_basic", "client_secret_basic"),
        ("client_secret_post", "client_secret_post"),
        ("none", "none"),
    ],
)
async def test_the_chosen_authentication_method_is_honoured(
    gateway: Gateway, asked: str | None, given: str
) -> None:
    answer = await gateway.register(token_endpoint_auth_method=asked)
    assert answer["token_endpoint_auth_method"] == given
    assert ("client_secret" in answer) == given.startswith("client_secret")


async def test_oa18_secrets_are_stored_only_as_hashes(gateway: Gateway) -> None:
    answer = await gateway.register(token_endpoint_auth_method="client_secret_basic")
    stored = repr(await gateway.ctx.store.get("client", answer["client_id"]))
    assert answer["client_secret"] not in stored
    assert answer["registration_access_token"] not in stored


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"redirect_uris": None}, "invalid_redirect_uri"),
        ({"redirect_uris": []}, "invalid_redirect_uri"),
        ({"redirect_uris": CALLBACK}, "invalid_redirect_uri"),
        ({"redirect_uris": [CALLBACK, 3]}, "invalid_redirect_uri"),
        ({"redirect_uris": [CALLBACK, "javascript:alert(1)"]}, "invalid_redirect_uri"),
        ({"redirect_uris": [CALLBACK, "https://client.example/#x"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["http://client.example/cb"]}, "invalid_redirect_uri"),
        ({"redirect_uris": [f"{CALLBACK}/{n}" for n in range(33)]}, "invalid_redirect_uri"),
        ({"token_endpoint_auth_method": "tls_client_auth"}, "invalid_client_metadata"),
        ({"token_endpoint_auth_method": "private_key_jwt"}, "invalid_client_metadata"),
        ({"token_endpoint_auth_method": ["none"]}, "invalid_client_metadata"),
        ({"grant_types": ["implicit"]}, "invalid_client_metadata"),
        ({"grant_types": ["refresh_token"]}, "invalid_client_metadata"),
        ({"grant_types": "authorization_code"}, "invalid_client_metadata"),
        ({"grant_types": ["client_credentials"]}, "invalid_client_metadata"),
        ({"response_types": ["token"]}, "invalid_client_metadata"),
        ({"response_types": "code"}, "invalid_client_metadata"),
        ({"jwks": {"keys": []}}, "invalid_client_metadata"),
        ({"jwks": {"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}}, "invalid_client_metadata"),
        ({"jwks": {"keys": [{"kty": "RSA", "n": "A" * 2000, "e": "AQAB"}]}}, "invalid_client_metadata"),
        ({"jwks": "x"}, "invalid_client_metadata"),
        ({"jwks_uri": "http://client.example/jwks"}, "invalid_client_metadata"),
        ({"token_endpoint_auth_signing_alg": "HS256"}, "invalid_client_metadata"),
    ],
)
async def test_unusable_metadata_is_refused_and_nothing_is_stored(
    gateway: Gateway, change: dict[str, Any], error: str
) -> None:
    response = await gateway.http.post("/register", json={"redirect_uris": [CALLBACK]} | change)
    assert (response.status_code, response.json()["error"]) == (400, error)
    assert response.json()["error_description"]
    assert [entry async for entry in gateway.ctx.store.list("client")] == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b'{"redirect_uris": NaN}',
        b"\xff\xfe",
        b'{"client_name": "\\ud800"}',
        b"[" * 16_000,
    ],
)
async def test_a_body_that_is_no_json_object_is_invalid_client_metadata(
    gateway: Gateway, body: bytes
) -> None:
    response = await gateway.http.post(
        "/register", content=body, headers={"content-type": "application/json"}
    )
    assert (response.status_code, response.json()["error"]) == (400, "invalid_client_metadata")


async def test_oa16_a_huge_body_is_refused(gateway: Gateway) -> None:
    response = await gateway.http.post("/register", json={"redirect_uris": [CALLBACK], "x": "y" * 16_384})
    assert (response.status_code, response.json()["error"]) == (413, "invalid_request")


async def test_oa16_registrations_are_limited_per_address(make_gateway: MakeGateway, clock: Clock) -> None:
    gateway = await make_gateway(registrations_per_hour=2)
    await gateway.register()
    await gateway.register()
    refused = await gateway.http.post("/register", json={"redirect_uris": [CALLBACK]})
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 0
    clock.advance(3600)
    await gateway.register()


async def test_registration_can_be_switched_off(make_gateway: MakeGateway) -> None:
    gateway = await make_gateway(registration=False)
    refused = await gateway.http.post("/register", json={"redirect_uris": [CALLBACK]})
    assert (refused.status_code, refused.json()["error"]) == (403, "access_denied")


async def test_a_client_that_nobody_signs_in_with_is_forgotten_and_a_used_one_stays(
    gateway: Gateway, clock: Clock
) -> None:
    unused, used = (await gateway.register())["client_id"], (await gateway.register())["client_id"]
    await gateway.connect(used)
    clock.advance(86400)
    assert await gateway.ctx.clients.find(unused) is None
    assert await gateway.ctx.clients.find(used) is not None
    clock.advance(90 * 86400)
    assert await gateway.ctx.clients.find(used) is None


async def test_every_use_keeps_a_client_for_its_lifetime_anew(gateway: Gateway, clock: Clock) -> None:
    client_id = (await gateway.register())["client_id"]
    tokens = await gateway.connect(client_id)
    for _ in range(5):
        clock.advance(25 * 86400)
        response = await gateway.refresh(client_id, tokens["refresh_token"])
        assert response.status_code == 200
        tokens = response.json()


async def test_a_client_cannot_be_phished_with_invisible_characters_in_its_name(gateway: Gateway) -> None:
    answer = await gateway.register(client_name="Cla\u200bude\u202e edoC\x00\n")
    assert answer["client_name"] == "Claude edoC"


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({"client_name": "x" * 5000}, "x" * 200),
        ({"client_name": "x" * 199 + " y"}, "x" * 199),
        ({"client_name": {"en": "x"}}, None),
        ({"client_name#de": 7}, None),
        ({"client_uri": "javascript:alert(1)"}, None),
        ({"logo_uri": "data:image/png;base64,AA"}, None),
        ({"logo_uri": "https://client.example/" + "x" * 2048}, None),
        ({"policy_uri": "https://a.example\\@b.example"}, None),
        ({"tos_uri": ["https://client.example"]}, None),
        ({"application_type": "service"}, None),
        ({"application_type": 1}, None),
        ({"contacts": "ops"}, None),
        ({"contacts": [1, "ops@client.example", "x" * 300]}, ["ops@client.example"]),
        ({"software_id": {}}, None),
        ({"software_version": "1" * 300}, "1" * 255),
    ],
)
async def test_what_only_decorates_is_cut_or_dropped_and_never_fatal(
    gateway: Gateway, change: dict[str, Any], kept: object
) -> None:
    answer = await gateway.register(**change)
    assert answer.get(next(iter(change))) == kept


@pytest.mark.parametrize(
    "name",
    [
        "\u3164",
        "\u2800\u2800",
        "\u115f\u1160\uffa0",
        "\U0001d159",
        "\u200b\u2060",
        "\u0301",
        "\ufe0f",
        " \u3000\t",
    ],
)
async def test_a_name_that_shows_nothing_is_no_name(gateway: Gateway, name: str) -> None:
    assert "client_name" not in await gateway.register(client_name=name)


async def test_blanks_cannot_push_a_part_of_a_name_out_of_sight(gateway: Gateway) -> None:
    answer = await gateway.register(client_name="Claude" + "\u3164\u2800 \u00a0" * 100 + "of evil.example")
    assert answer["client_name"] == "Claude of evil.example"


@pytest.mark.parametrize(
    ("asked", "registered"),
    [
        ("mcp", "mcp"),
        ("openid profile mcp email", "mcp"),
        ("offline_access openid", "mcp offline_access"),
        ("openid", "mcp"),
        ("x" * 5000, "mcp"),
    ],
)
async def test_the_answer_names_the_scopes_that_will_be_granted(
    gateway: Gateway, asked: str, registered: str
) -> None:
    answer = await gateway.register(scope=asked)
    assert answer["scope"] == registered
    code, verifier = await gateway.approve(answer["client_id"], scope=scopes.granted(answer["scope"]))
    tokens = (await gateway.redeem(answer["client_id"], code, verifier)).json()
    assert tokens["scope"] == registered
    again = await gateway.refresh(answer["client_id"], tokens["refresh_token"], scope=asked)
    assert (again.status_code, again.json()["scope"]) == (200, registered)


async def test_registration_promises_no_grant_that_needs_the_operator(gateway: Gateway) -> None:
    answer = await gateway.register(grant_types=["authorization_code", "client_credentials", "implicit"])
    assert answer["grant_types"] == ["authorization_code"]


# Management


async def test_an_update_replaces_everything_and_rotates_the_registration_token(gateway: Gateway) -> None:
    first = await gateway.register(client_uri="https://client.example", contacts=["a@client.example"])
    url = f"/register/{first['client_id']}"
    changed = {
        "client_id": first["client_id"],
        "redirect_uris": ["https://client.example/new"],
        "client_name": "New",
        "token_endpoint_auth_method": "none",
    }
    response = await gateway.http.put(url, json=changed, headers=bearer(first["registration_access_token"]))
    assert response.status_code == 200
    second = response.json()
    assert second["redirect_uris"] == ["https://client.example/new"]
    assert not {"client_uri", "contacts"} & set(second)
    assert second["registration_access_token"] != first["registration_access_token"]
    old = await gateway.http.get(url, headers=bearer(first["registration_access_token"]))
    assert (old.status_code, old.json()["error"]) == (401, "invalid_token")
    new = await gateway.http.get(url, headers=bearer(second["registration_access_token"]))
    assert new.json()["client_name"] == "New"


async def test_an_update_that_turns_confidential_issues_a_secret_and_one_that_turns_public_drops_it(
    gateway: Gateway,
) -> None:
    client = await gateway.register()
    base = {"client_id": client["client_id"], "redirect_uris": [CALLBACK]}
    for method, expected in (("client_secret_post", True), ("client_secret_basic", False), ("none", False)):
        response = await gateway.http.put(
            f"/register/{client['client_id']}",
            json=base | {"token_endpoint_auth_method": method},
            headers=bearer(client["registration_access_token"]),
        )
        client = response.json()
        assert ("client_secret" in client) is expected
    stored = await gateway.client(client["client_id"])
    assert stored.secret_hash is None


@pytest.mark.parametrize(
    "change",
    [
        {"client_id": "another"},
        {"client_id": None},
        {"registration_access_token": "x"},
        {"registration_client_uri": "https://x.example"},
        {"client_id_issued_at": 1},
        {"client_secret_expires_at": 0},
        {"client_secret": "not-the-one"},
        {"redirect_uris": []},
        {"redirect_uris": ["javascript:alert(1)"]},
    ],
)
async def test_a_wrong_update_is_refused_and_changes_nothing(
    gateway: Gateway, change: dict[str, Any]
) -> None:
    client = await gateway.register()
    before = await gateway.ctx.store.get("client", client["client_id"])
    body = {
        "client_id": client["client_id"],
        "redirect_uris": [CALLBACK],
        "token_endpoint_auth_method": "none",
    } | change
    response = await gateway.http.put(
        f"/register/{client['client_id']}", json=body, headers=bearer(client["registration_access_token"])
    )
    assert response.status_code == 400
    assert response.json()["error"] in ("invalid_request", "invalid_client_metadata", "invalid_redirect_uri")
    assert await gateway.ctx.store.get("client", client["client_id"]) == before


async def test_deleting_a_client_revokes_everything_issued_to_it(gateway: Gateway) -> None:
    client, other = await gateway.register(), await gateway.register()
    tokens, kept = await gateway.connect(client["client_id"]), await gateway.connect(other["client_id"])
    code, verifier = await gateway.approve(client["client_id"])
    response = await gateway.http.delete(
        f"/register/{client['client_id']}", headers=bearer(client["registration_access_token"])
    )
    assert response.status_code == 204
    assert response.content == b""
    assert not await gateway.is_live(tokens["access_token"])
    for refused in (
        await gateway.refresh(client["client_id"], tokens["refresh_token"]),
        await gateway.redeem(client["client_id"], code, verifier),
    ):
        assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
    assert await gateway.is_live(kept["access_token"])


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_without_the_registration_token_there_is_only_a_401(gateway: Gateway, method: str) -> None:
    mine, other = await gateway.register(), await gateway.register()
    attempts = [
        (mine["client_id"], {}),
        (mine["client_id"], bearer("reg-wrong")),
        (mine["client_id"], bearer(other["registration_access_token"])),
        (mine["client_id"], {"authorization": f"Basic {mine['registration_access_token']}"}),
        ("client_unknown", bearer(mine["registration_access_token"])),
    ]
    for client_id, headers in attempts:
        response = await gateway.http.request(method, f"/register/{client_id}", headers=headers, json={})
        assert (response.status_code, response.json()["error"]) == (401, "invalid_token")
        assert response.headers["www-authenticate"].startswith("Bearer")
    assert await gateway.ctx.clients.find(mine["client_id"]) is not None


async def test_a_preregistered_client_cannot_be_managed_from_outside(gateway: Gateway) -> None:
    registration = await gateway.ctx.clients.preregister({"redirect_uris": [CALLBACK]})
    response = await gateway.http.get(f"/register/{registration.client.client_id}", headers=bearer(""))
    assert response.status_code == 401


# Properties

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)
member = st.sampled_from(
    [
        *rules.STRINGS,
        *rules.LISTS,
        *rules.TEXTS,
        *rules.PAGES,
        "application_type",
        "contacts",
        "jwks",
        "token_endpoint_auth_methods_supported",
        "client_name#de",
    ]
)
plausible = st.sampled_from(
    [
        CALLBACK,
        [CALLBACK],
        ["http://127.0.0.1/"],
        "none",
        "private_key_jwt",
        ["code"],
        ["authorization_code"],
        {"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]},
    ]
)
documents = st.dictionaries(member, json_values | plausible, max_size=8)


@given(documents)
def test_any_metadata_is_either_registered_in_normal_form_or_refused_by_the_rfc(
    metadata: dict[str, Any],
) -> None:
    known = load_settings(
        gateway_secret="0123456789abcdef-test-secret-fedcba98",
        local_accounts=True,
        public_url="http://localhost:8080",
    )
    for source in ("dynamic", "document", "preregistered"):
        try:
            kept = rules.validate(metadata, known, source)
        except (InvalidClientMetadataError, InvalidRedirectURIError):
            continue
        assert all(value not in (None, "", [], {}) for value in kept.values())
        assert kept["token_endpoint_auth_method"] in rules.AUTH_METHODS
        assert set(kept["grant_types"]) <= set(rules.grant_types_supported(known, source))
        assert rules.validate(kept, known, source) == kept
        json.dumps(kept)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=40,
    deadline=None,
)
@given(body=st.binary(max_size=200) | documents.map(lambda value: json.dumps(value).encode()))
async def test_no_registration_body_breaks_the_server(make_gateway: MakeGateway, body: bytes) -> None:
    gateway = await make_gateway(registrations_per_hour=1_000_000)
    response = await gateway.http.post("/register", content=body)
    assert response.status_code in (201, 400)
    assert ("error" in response.json()) == (response.status_code == 400)
