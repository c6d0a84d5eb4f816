"""Whatever comes from outside ends as an answer of its standard: never as a 5xx, never as a traceback.

Every route of the application is asked, with every method it has, and whatever a stranger can put into a
path, a query, a form, a JSON document, a header, a cookie or a signed assertion: nested without end, huge,
not finite, half a character, of the wrong type. An exception that nobody handles fails the test.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from urllib.parse import quote, urlencode

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from mcp_oauth_dynamicclient.clients.fetch import freshness
from mcp_oauth_dynamicclient.clients.metadata import DEVICE_CODE, JWT_BEARER
from mcp_oauth_dynamicclient.json_object import parse_base64url, parse_object
from mcp_oauth_dynamicclient.keys import jwk_of, new_private_key
from mcp_oauth_dynamicclient.records import Client
from mcp_oauth_dynamicclient.tokens import digest

from ..support import App, Clock, MakeApp
from .support import MakeGateway

ISSUER = "http://localhost:8080"
TIME = f"{ISSUER}/time/mcp"
CALLBACK = "https://client.example/cb"
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
IDENTITY_PROVIDER = "https://idp.example"
NESTED = "[" * 5000
FORM = {"content-type": "application/x-www-form-urlencoded"}


def part(text: str | bytes) -> str:
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


NUMBERS = [
    "1" + "0" * 400,
    "-1" + "0" * 400,
    "1e400",
    "-1e999",
    "1e308",
    "0",
    "-1",
    "NaN",
    "Infinity",
    "1" * 5000,
]
VALUES = [
    *NUMBERS, "null", "true", "[]", "{}", '""', '"\\ud800"', '"\\u0000"', '"é"', '"' + "x" * 5000 + '"',
    NESTED, NESTED + "]" * 5000, '{"a":' * 5000, '[["a"]]', '{"kid":{"a":1}}', '"https://[x"', '"https://a@[::1"',
]  # fmt: skip
"""JSON texts, not all of them JSON, that parsers have stumbled over."""
PARTS = [
    *(part(f'{{"alg":"RS256","typ":"at+jwt","kid":{value}}}') for value in VALUES),
    *(part(f'{{"alg":{value},"typ":{value},"crit":{value}}}') for value in VALUES),
    *(part(f'{{"iss":"a","sub":"a","client_id":{value},"exp":{value},"jti":"x"}}') for value in VALUES),
    *(part(value) for value in VALUES),
    part(b"\xff\xfe"), part(b"\xef\xbb\xbf{}"), "", "=", "é", "\x00", "A",
]  # fmt: skip
JWTS = [f"{one}.{two}.{part('x')}" for one, two in zip(PARTS, [*PARTS[40:], *PARTS[:40]], strict=True)]
TEXTS = [
    *JWTS, "..", ".", "x" * 9000, NESTED, "\x00", "é\u202e", "\ud7ff\uffff", "%", "%zz", "%00", "%ed%a0%80",
    "a b", '"', "https://client.example/%2e%2e/x", "https://[x", "https://\u2100.example/",
    "https://a:99999999999/x", "urn:x", f"{TIME}?{NESTED}", "http://[::1", "-1", "1" * 5000, "0x10",
    "1e400", "client_1:secret",
]  # fmt: skip
text = st.sampled_from(TEXTS) | st.text(max_size=40)
json_text = st.sampled_from(VALUES) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
).map(json.dumps)
PARAMETERS = [
    "grant_type", "client_id", "client_secret", "client_assertion", "client_assertion_type", "code",
    "code_verifier", "redirect_uri", "refresh_token", "device_code", "assertion", "resource", "scope",
    "token", "token_type_hint", "user_code", "flow", "username", "password", "state", "error",
    "code_challenge", "provider", "code_challenge_method", "response_type", "response_mode", "prompt",
    "request", "ticket", "iss", "name", "id", "decision", "approve", "csrf", "grant", "next",
    "error_description", "authorization_details",
]  # fmt: skip
MEMBERS = [
    "redirect_uris", "client_name", "client_name#de", "client_id", "client_secret", "grant_types",
    "response_types", "token_endpoint_auth_method", "token_endpoint_auth_methods_supported",
    "token_endpoint_auth_signing_alg", "jwks", "jwks_uri", "scope", "logo_uri", "contacts",
    "application_type", "software_id",
]  # fmt: skip
HEADERS = [
    "authorization", "cookie", "accept", "content-type", "origin", "host", "x-forwarded-host",
    "x-forwarded-uri", "x-forwarded-method", "x-forwarded-for", "x-forwarded-proto", "sec-fetch-mode",
    "sec-fetch-dest", "referer", "accept-language", "if-none-match", "mcp-protocol-version", "expect",
]  # fmt: skip
GRANT_TYPES = ["authorization_code", "refresh_token", "client_credentials", DEVICE_CODE, JWT_BEARER]
requests = st.sampled_from([
    {},
    *({"client_id": "public", "grant_type": name} for name in GRANT_TYPES),
    *({"client_id": "secret", "client_secret": "secret", "grant_type": name} for name in GRANT_TYPES),
    {"client_id": "secret", "client_secret": "secret", "token": "x"},
    {"response_type": "code", "client_id": "public", "redirect_uri": CALLBACK, "resource": TIME,
     "code_challenge_method": "S256", "code_challenge": "x" * 43, "state": "s"},
])  # fmt: skip
"""What a known client sends, so that more than its authentication is reached."""
changes = st.lists(st.tuples(st.sampled_from(PARAMETERS), text), max_size=4)
pairs = st.builds(
    lambda request, changed: [*(request | dict(changed)).items(), *changed[3:]], requests, changes
)
header_text = text.map(lambda value: value.encode("utf-8", "replace").decode("latin-1"))
schemes = st.sampled_from(["", "Bearer ", "Basic ", "bearer", "Digest ", "__Host-x=", "sign-in-x="])
headers = st.dictionaries(
    st.sampled_from(HEADERS),
    st.builds("{}{}".format, schemes, header_text).map(lambda value: re.sub(r"[\x00\r\n]", "", value)),
    max_size=4,
)


def operations(app: App) -> list[tuple[str, str]]:
    """Method and path of all that the application answers."""
    found = {(method, route.path) for route in app.routes() for method in route.methods or ()}
    assert len(found) > 30, found
    at_servers = {
        (method, path)
        for method in ("GET", "POST", "OPTIONS", "DELETE")
        for path in ("/time", "/time/health", "/time/mcp", "/time/mcp/", "/time/{rest}", "/{rest}")
    }
    return sorted(found | at_servers)


@pytest.fixture
async def place(make_app: MakeApp) -> App:
    """An application that trusts an identity provider, with limits that a fuzzer does not reach."""
    app = await make_app(id_jag_issuer=IDENTITY_PROVIDER, registrations_per_hour=10**9)
    for client_id, method in (("public", "none"), ("secret", "client_secret_post")):
        client = Client(
            client_id=client_id,
            metadata={
                "client_name": client_id, "redirect_uris": [CALLBACK], "grant_types": GRANT_TYPES,
                "token_endpoint_auth_method": method,
            },
            source="preregistered",
            secret_hash=digest("secret"),
        )  # fmt: skip
        await app.ctx.tables.clients.put(client_id, client)
    app.http = httpx.AsyncClient(transport=httpx.ASGITransport(app.gateway), base_url=ISSUER)
    return app


async def ask(app: App, method: str, path: str, sent: dict[str, str], query: str, content: bytes) -> None:
    """ASGITransport raises what nobody handled."""
    raw = [(name.encode(), value.encode("latin-1", "replace")) for name, value in sent.items()]
    request = httpx.Request(method, f"{ISSUER}{path}?{query}", headers=raw, content=content)
    response = await app.http.send(request)
    away = response.status_code == 503 and "retry-after" in response.headers and path.startswith("/time")
    assert response.status_code < 500 or away, (method, path, response.status_code, response.text)


EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "500"))
fuzz = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
    derandomize=True,
)


@fuzz
@given(data=st.data())
async def test_no_route_breaks_whatever_is_sent_to_it(place: App, data: st.DataObject) -> None:
    method, path = data.draw(st.sampled_from(operations(place)))
    filled = re.sub(r"\{[^}]*\}", lambda _: quote(data.draw(text)[:500], errors="replace"), path)
    body = data.draw(
        pairs.map(lambda drawn: encoded(drawn).encode())
        | json_text.map(lambda drawn: drawn.encode("utf-8", "surrogatepass"))
        | st.binary(max_size=50)
    )
    sent = (FORM if data.draw(st.booleans()) else {}) | data.draw(headers)
    await ask(place, method, filled, sent, encoded(data.draw(pairs))[:20_000], body)


def encoded(drawn: list[tuple[str, str]]) -> str:
    return urlencode(drawn, errors="surrogatepass")


@pytest.mark.parametrize("value", JWTS, ids=range(len(JWTS)))
async def test_a_token_made_to_break_parsers_is_an_invalid_token_everywhere(place: App, value: str) -> None:
    """Five thousand brackets as a JWT's header were a 500 through the gate, at /introspect and /revoke."""
    ascii_value = value.encode("ascii", "replace").decode()
    through_the_gate = await place.forward(TIME, ascii_value.replace("\x00", "?"))
    assert through_the_gate.status_code == 401
    client = {"client_id": "resource", "client_secret": "s" * 40}
    for path, sent in (
        ("/introspect", client | {"token": value}),
        ("/revoke", client | {"token": value}),
        ("/token", {"client_id": "x", "grant_type": "refresh_token", "refresh_token": value}),
        (
            "/token",
            {"client_assertion_type": ASSERTION, "client_assertion": value, "grant_type": "refresh_token"},
        ),
    ):
        response = await place.http.post(path, content=encoded(list(sent.items())), headers=FORM)
        assert 200 <= response.status_code < 500, (path, response.text)
    managed = {"authorization": f"Bearer {ascii_value}".replace("\x00", "?")}
    assert (await place.http.get("/register/client_1", headers=managed)).status_code == 401


# What is signed, stored or fetched, and so gets further than a stranger's words


class Key:
    """Signs any text whatever, as a client's own key can."""

    def __init__(self) -> None:
        self._private = new_private_key()
        self.jwks = {"keys": [jwk_of(self._private.public_key())]}

    def sign(self, header: str, claims: str) -> str:
        signed = f"{part(header)}.{part(claims)}"
        return f"{signed}.{part(self._private.sign(signed.encode(), PKCS1v15(), SHA256()))}"


@pytest.fixture(scope="module")
def key() -> Key:
    return Key()


def texts(good: Mapping[str, object]) -> Iterator[str]:
    """JSON objects like `good`, with one member at a time replaced by each of VALUES."""
    for name in good:
        for value in VALUES:
            others = {other: json.dumps(held) for other, held in good.items() if other != name}
            yield "{" + ",".join(f'"{one}":{held}' for one, held in [*others.items(), (name, value)]) + "}"


async def test_a_signed_assertion_made_to_break_parsers_authenticates_nobody(
    make_gateway: MakeGateway, key: Key, clock: Clock
) -> None:
    """`exp: 10**400` in an assertion that a client really signed was a 500."""
    gateway = await make_gateway(id_jag_issuer=IDENTITY_PROVIDER)
    gateway.upstream[f"{IDENTITY_PROVIDER}/.well-known/openid-configuration"] = {
        "jwks_uri": f"{IDENTITY_PROVIDER}/k"
    }
    gateway.upstream[f"{IDENTITY_PROVIDER}/k"] = key.jwks
    machine = {
        "client_id": "m",
        "grant_types": ["client_credentials"],
        "token_endpoint_auth_method": "private_key_jwt",
    }
    await gateway.ctx.clients.preregister(machine | {"jwks": key.jwks})
    agent = {
        "client_id": "agent",
        "grant_types": [JWT_BEARER],
        "token_endpoint_auth_method": "client_secret_post",
    }
    secret = (await gateway.ctx.clients.preregister(agent)).client_secret
    now = int(clock())
    own = {"iss": "m", "sub": "m", "aud": ISSUER, "jti": "j", "exp": now + 60, "iat": now, "nbf": now}
    theirs = own | {
        "iss": IDENTITY_PROVIDER, "sub": "u", "client_id": "agent", "resource": TIME, "scope": "mcp",
        "email": "a@b.example", "email_verified": True, "groups": ["g"], "name": "N",
        "preferred_username": "n",
    }  # fmt: skip
    client: dict[str, str | None] = {
        "grant_type": "client_credentials",
        "client_assertion_type": ASSERTION,
        "client_id": "m",
    }
    person: dict[str, str | None] = {"grant_type": JWT_BEARER, "client_id": "agent", "client_secret": secret}
    plain, typed = '{"alg":"RS256"}', '{"alg":"RS256","typ":"oauth-id-jag+jwt"}'
    assertions: list[dict[str, str | None]] = [
        *(client | {"client_assertion": key.sign(plain, claims)} for claims in texts(own)),
        *(
            client | {"client_assertion": key.sign(head, json.dumps(own))}
            for head in texts({"alg": "RS256", "kid": "k"})
        ),
        *(person | {"assertion": key.sign(typed, claims)} for claims in texts(theirs)),
    ]
    for sent in assertions:
        response = await gateway.post("/token", **sent)
        assert response.status_code < 500, (sent, response.text)


@pytest.mark.parametrize("member", MEMBERS)
async def test_a_registration_made_to_break_parsers_is_refused_or_kept_whole(
    make_gateway: MakeGateway, member: str, key: Key
) -> None:
    """What was kept can be read again, as JSON that everybody reads."""
    gateway = await make_gateway(registrations_per_hour=10**9)
    whole = {
        "redirect_uris": [CALLBACK],
        "jwks": {"keys": [key.jwks["keys"][0] | {"x": 0}]},
    }
    for body in [*texts(whole | {member: ""}), *texts({"keys": [], "jwks": {}})]:
        response = await gateway.http.post("/register", content=body.encode("utf-8", "surrogatepass"))
        assert response.status_code in (201, 400, 413), (body, response.text)
        if response.status_code == 201:
            parse_object(response.content)
            answer = response.json()
            token = {"authorization": f"Bearer {answer['registration_access_token']}"}
            read = await gateway.http.get(f"/register/{answer['client_id']}", headers=token)
            parse_object(read.content)
            assert read.json() == {name: value for name, value in answer.items() if "secret" not in name}


async def test_a_document_made_to_break_parsers_identifies_nobody_or_a_client(
    make_gateway: MakeGateway, key: Key
) -> None:
    gateway = await make_gateway()
    url = "https://client.example/id"
    good: dict[str, object] = {
        "client_id": url, "client_name": "C", "redirect_uris": [CALLBACK],
        "token_endpoint_auth_method": "none", "grant_types": ["refresh_token"], "jwks": key.jwks,
        "logo_uri": "x", "scope": "mcp",
    }  # fmt: skip
    for number, body in enumerate([*texts(good), *VALUES]):
        here = f"https://c{number}.example/id"
        gateway.internet.documents[here] = httpx.Response(
            200, content=body.replace(url, here).encode("utf-8", "surrogatepass"),
            headers={"content-type": "application/json", "cache-control": f"max-age={NUMBERS[number % 10]}"},
        )  # fmt: skip
        response = await gateway.post("/token", grant_type="refresh_token", client_id=here, refresh_token="x")
        assert response.status_code in (400, 401, 503), (body, response.text)
        assert response.status_code != 503 or "JSON" in response.text


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_what_is_read_as_json_can_be_written_as_json(value: str) -> None:
    body = f'{{"a":{value}}}'.encode("utf-8", "surrogatepass")
    with suppress(ValueError):
        found = parse_object(body)
        assert parse_base64url(part(body)) == found
        assert json.loads(json.dumps(found, allow_nan=False, ensure_ascii=False).encode()) == found
        assert all(
            abs(float(number)) < float("inf") for number in [found["a"]] if isinstance(number, int | float)
        )


@given(st.dictionaries(st.sampled_from(["cache-control", "age", "expires", "date"]), st.text(max_size=40)))
@example(
    {"expires": "Mon, 01 Jan 99999999999999999999 00:00:00 GMT", "date": "Mon, 01 Jan 2026 00:00:00 GMT"}
)
@example({"cache-control": "max-age=" + "9" * 5000, "age": "9" * 5000})
def test_any_caching_header_means_a_time_within_our_bounds(sent: dict[str, str]) -> None:
    assert 60 <= freshness(sent) <= 86400
