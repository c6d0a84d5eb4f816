"""The token endpoint's manners: RFC 6749 section 5.2 for every fault."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcp_oauth_dynamicclient.errors import InvalidRequestError
from mcp_oauth_dynamicclient.forms import parse_form

from .support import Gateway

FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize("path", ["/token", "/revoke", "/introspect", "/device_authorization"])
@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b'{"grant_type": "authorization_code"}', "application/json"),
        (b"grant_type=x", ""),
        (b"grant_type=a&grant_type=b", "application/x-www-form-urlencoded"),
        (b"client_id=a&client_id=a", "application/x-www-form-urlencoded"),
        (b"client_id=%ff", "application/x-www-form-urlencoded"),
        (b"client_id=\xff", "application/x-www-form-urlencoded"),
        (b"&".join(b"a%d=1" % n for n in range(100)), "application/x-www-form-urlencoded"),
    ],
)
async def test_an_unreadable_form_is_an_invalid_request(
    gateway: Gateway, path: str, content: bytes, content_type: str
) -> None:
    response = await gateway.http.post(path, content=content, headers={"content-type": content_type})
    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")
    assert response.json()["error_description"]
    assert response.headers["cache-control"] == "no-store"


async def test_a_huge_form_is_refused(gateway: Gateway) -> None:
    response = await gateway.http.post("/token", content=b"a=" + b"x" * 70_000, headers=FORM)
    assert (response.status_code, response.json()["error"]) == (413, "invalid_request")


async def test_a_missing_grant_type_is_an_invalid_request(gateway: Gateway) -> None:
    client = await gateway.register()
    response = await gateway.post("/token", client_id=client["client_id"])
    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("grant_type", ["password", "implicit", "a", "authorization_code ", '"\\', "é" * 500])
async def test_oa9_an_unknown_grant_type_is_unsupported(gateway: Gateway, grant_type: str) -> None:
    client = await gateway.register()
    response = await gateway.post("/token", client_id=client["client_id"], grant_type=grant_type)
    assert (response.status_code, response.json()["error"]) == (400, "unsupported_grant_type")
    assert response.json()["error_description"].isascii()
    assert '"' not in response.json()["error_description"]


async def test_a_grant_type_that_was_not_registered_is_unauthorized(gateway: Gateway) -> None:
    client = await gateway.register(grant_types=["authorization_code"])
    response = await gateway.refresh(client["client_id"], "x")
    assert (response.status_code, response.json()["error"]) == (400, "unauthorized_client")


@pytest.mark.parametrize(
    ("grant_type", "missing"),
    [("authorization_code", "code"), ("refresh_token", "refresh_token")],
)
async def test_a_missing_parameter_is_named(gateway: Gateway, grant_type: str, missing: str) -> None:
    client = await gateway.register()
    response = await gateway.post("/token", client_id=client["client_id"], grant_type=grant_type)
    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")
    assert missing in response.json()["error_description"]


async def test_a_parameter_without_a_value_counts_as_omitted(gateway: Gateway) -> None:
    client = await gateway.register()
    response = await gateway.refresh(client["client_id"], "x", client_secret="", resource="")
    assert response.json()["error"] == "invalid_grant"


@given(st.lists(st.tuples(st.text(max_size=10), st.text(max_size=20)), max_size=10))
def test_a_form_comes_back_as_it_was_sent(pairs: list[tuple[str, str]]) -> None:
    names = [name for name, _ in pairs if name != "resource"]
    body = urlencode(pairs).encode()
    if len(set(names)) < len(names):
        with pytest.raises(InvalidRequestError):
            parse_form(body)
        return
    form = parse_form(body)
    assert form.values == {name: value for name, value in pairs if value and name != "resource"}


@given(st.binary(max_size=300))
def test_any_bytes_are_a_form_or_an_invalid_request(body: bytes) -> None:
    try:
        form = parse_form(body)
    except InvalidRequestError:
        return
    assert all(form.values.values())


FIELDS = (
    "grant_type client_id client_secret code code_verifier redirect_uri refresh_token resource scope token"
    " device_code client_assertion client_assertion_type assertion"
)
VALUES = (
    "authorization_code refresh_token client_credentials https://client.example/x known a.b.c"
    " urn:ietf:params:oauth:grant-type:device_code urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
)
names = st.sampled_from(FIELDS.split())
values = st.text(max_size=30) | st.sampled_from(VALUES.split())


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=60,
    deadline=None,
)
@given(path=st.sampled_from(["/token", "/revoke", "/introspect", "/device_authorization"]),
       fields=st.lists(st.tuples(names, values), max_size=6))  # fmt: skip
async def test_no_form_breaks_an_endpoint(gateway: Gateway, path: str, fields: list[tuple[str, str]]) -> None:
    if await gateway.ctx.store.get("client", "known") is None:
        public = {
            "client_id": "known",
            "redirect_uris": ["https://client.example/x"],
            "token_endpoint_auth_method": "none",
        }
        await gateway.ctx.clients.preregister(public)
    response = await gateway.http.post(path, content=urlencode(fields).encode(), headers=FORM)
    assert response.status_code in (200, 400, 401, 429, 503)
    if response.status_code >= 400:
        assert set(response.json()) <= {"error", "error_description"}
