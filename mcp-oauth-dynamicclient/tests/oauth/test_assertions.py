"""Assertions: who signed them, for whom and when; whatever else they hold ends as a refusal."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwk, jws
from mcp_oauth_dynamicclient.clients import assertions
from mcp_oauth_dynamicclient.errors import InvalidTokenError

NOW = 1_800_000_000.0
AUDIENCES = ["http://localhost:8080", "http://localhost:8080/token"]
KINDS: dict[str, Callable[[], jwk.Key]] = {
    **dict.fromkeys(("RS256", "PS256", "PS512"), jwk.RSAKey.generate_key),
    "ES256": partial(jwk.ECKey.generate_key, "P-256"),
    "ES384": partial(jwk.ECKey.generate_key, "P-384"),
    **dict.fromkeys(("EdDSA", "Ed25519"), partial(jwk.OKPKey.generate_key, "Ed25519")),
}
pytestmark = pytest.mark.filterwarnings("ignore:EdDSA is deprecated")


class Signer:
    """Somebody with a key of their own; `members` are added to the published key."""

    def __init__(self, algorithm: str = "RS256", members: dict[str, object] | None = None) -> None:
        self.algorithm = algorithm
        self.key = KINDS[algorithm]()
        public = self.key.as_dict(private=False)
        self.jwks = {"keys": [public | {"kid": "k1"} | (members or {})]}

    def sign(self, claims: object, **header: object) -> str:
        payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
        protected = {"alg": self.algorithm, "kid": "k1"} | header
        registry = jws.JWSRegistry(algorithms=[self.algorithm], strict_check_header=False)
        return jws.serialize_compact(protected, payload, self.key, registry=registry)


def verify(token: str, jwks: dict[str, Any], algorithms: Any = assertions.ALGORITHMS) -> dict[str, Any]:
    return assertions.verify(token, jwks, algorithms, AUDIENCES, NOW)


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer()


@pytest.mark.parametrize("algorithm", KINDS)
def test_an_assertion_signed_for_us_is_read(algorithm: str) -> None:
    signer = Signer(algorithm)
    claims = {"iss": "c", "sub": "c", "aud": AUDIENCES[0], "exp": NOW + 60, "jti": "1"}
    assert verify(signer.sign(claims), signer.jwks) == claims


@pytest.mark.parametrize("audience", [*AUDIENCES, AUDIENCES, AUDIENCES[:1]])
def test_every_name_of_ours_is_an_audience(signer: Signer, audience: object) -> None:
    claims = {"aud": audience, "exp": NOW + 60}
    assert verify(signer.sign(claims), signer.jwks) == claims


@pytest.mark.parametrize(
    "change",
    [
        {"aud": "http://localhost:8080/"}, {"aud": None}, {"aud": []}, {"aud": [{}]}, {"aud": {}},
        {"aud": [AUDIENCES[0], "https://other.example"]}, {"aud": [AUDIENCES[0], 1]},
        {"exp": None}, {"exp": "soon"}, {"exp": True}, {"exp": 1}, {"exp": 10**400}, {"exp": float("inf")},
        {"exp": float("nan")}, {"exp": -(10**400)}, {"exp": [[]]},
        {"nbf": 2**40}, {"iat": 2**40}, {"nbf": "x"}, {"nbf": 10**400}, {"iat": float("nan")},
    ],
    ids=lambda change: str(change)[:40],
)  # fmt: skip
def test_an_assertion_for_others_or_for_another_time_is_refused(
    signer: Signer, change: dict[str, object]
) -> None:
    with pytest.raises(InvalidTokenError):
        verify(signer.sign({"aud": AUDIENCES[0], "exp": NOW + 60} | change), signer.jwks)


@pytest.mark.parametrize(
    "members",
    [
        {"use": "enc"}, {"kty": "oct"}, {"kid": "k2"}, {"alg": "RS512"}, {"kty": "EC"}, {"kty": []},
        {"n": "AQAB"}, {"n": None}, {"n": "A" * 20000}, {"e": None}, {"e": "!"},
    ],
    ids=lambda members: str(members)[:30],
)  # fmt: skip
def test_a_key_that_is_not_fit_for_the_algorithm_verifies_nothing(members: dict[str, object]) -> None:
    signer = Signer(members=members)
    with pytest.raises(InvalidTokenError, match="No key"):
        verify(signer.sign({"aud": AUDIENCES[0], "exp": NOW + 60}), signer.jwks)


def test_an_algorithm_that_the_caller_did_not_name_is_refused(signer: Signer) -> None:
    token = signer.sign({"aud": AUDIENCES[0], "exp": NOW + 60})
    with pytest.raises(InvalidTokenError, match="must be signed with one of ES256"):
        verify(token, signer.jwks, ["ES256"])
    secret = jwk.import_key({"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"})
    claims = json.dumps({"aud": AUDIENCES[0], "exp": NOW + 60})
    symmetric = jws.serialize_compact({"alg": "HS256"}, claims, secret)
    with pytest.raises(InvalidTokenError):
        verify(symmetric, {"keys": [secret.as_dict()]}, ["HS256"])


@pytest.mark.parametrize("extension", [{"crit": ["exp"]}, {"b64": False}])
def test_an_extension_that_changes_what_is_signed_is_refused(
    signer: Signer, extension: dict[str, object]
) -> None:
    token = signer.sign({"aud": AUDIENCES[0], "exp": NOW + 60})
    header = base64.urlsafe_b64encode(json.dumps({"alg": "RS256", "kid": "k1"} | extension).encode())
    _, _, rest = token.partition(".")
    with pytest.raises(InvalidTokenError, match="must be signed"):
        verify(f"{header.decode().rstrip('=')}.{rest}", signer.jwks)


def _encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


NESTED = st.integers(1, 8000).map(lambda depth: "[" * depth) | st.integers(1, 1500).map(
    lambda depth: "[" * depth + "]" * depth
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
NAMES = st.sampled_from(["alg", "kid", "typ", "crit", "iss", "sub", "aud", "exp", "nbf", "iat", "jti"])


@given(header=NESTED | st.text(max_size=20), claims=NESTED | st.text(max_size=20))
def test_whatever_is_no_assertion_is_refused_and_nothing_else(header: str, claims: str) -> None:
    with pytest.raises(InvalidTokenError):
        verify(f"{_encoded(header)}.{_encoded(claims)}.AAAA", {"keys": []})


@given(claims=st.dictionaries(NAMES, VALUES), header=st.dictionaries(NAMES, VALUES, max_size=2))
def test_whatever_a_client_signs_is_read_or_refused(
    signer: Signer, claims: dict[str, Any], header: dict[str, Any]
) -> None:
    token = signer.sign(claims)
    if header:
        _, _, rest = token.partition(".")
        token = f"{_encoded(json.dumps({'alg': 'RS256'} | header))}.{rest}"
    with suppress(InvalidTokenError):
        verify(token, signer.jwks)


@given(key=st.dictionaries(st.sampled_from(["kty", "n", "e", "crv", "x", "y", "kid", "use"]), VALUES))
def test_whatever_key_is_published_verifies_nothing(signer: Signer, key: dict[str, Any]) -> None:
    with pytest.raises(InvalidTokenError):
        verify(signer.sign({"aud": AUDIENCES[0], "exp": NOW + 60}), {"keys": [{"kty": "RSA"} | key]})
