"""Access tokens (RFC 9068) and assertions (RFC 7523): what is issued, and what is refused."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from jose import jwk, jws
from mcp_oauth_dynamicclient.errors import InvalidTokenError
from mcp_oauth_dynamicclient.keys import KNOWN_AFTER, KeyRing
from mcp_oauth_dynamicclient.records import Grant, Identity
from mcp_oauth_dynamicclient.settings import Settings
from mcp_oauth_dynamicclient.store import Store
from mcp_oauth_dynamicclient.tokens import Tokens, digest, new_secret

from .support import Clock

TIME = "http://localhost:8080/time/mcp"
ADA = Identity(provider="local", subject="1", login="ada", name="Ada Lovelace")


def grant(identity: Identity | None = ADA) -> Grant:
    return Grant(
        grant_id="g1", client_id="client_1", client_name="Client", identity=identity,
        resource=TIME, scope="mcp", created_at=0, last_used_at=0,
    )  # fmt: skip


@pytest.fixture
def ring(settings: Settings, store: Store, clock: Clock) -> KeyRing:
    return KeyRing(settings, store, clock)


@pytest.fixture
def tokens(settings: Settings, ring: KeyRing, clock: Clock) -> Tokens:
    return Tokens(settings, ring, clock)


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    header, claims = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in token.split(".")[:2])
    return header, claims


def test_secrets_have_256_bits_and_are_stored_as_their_hash() -> None:
    secret = new_secret("reg-")
    assert secret.startswith("reg-")
    assert len(base64.urlsafe_b64decode(secret.removeprefix("reg-") + "=")) == 32
    assert new_secret() != new_secret()
    assert digest("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


async def test_an_access_token_is_an_rfc9068_jwt_for_one_server(
    tokens: Tokens, ring: KeyRing, settings: Settings, clock: Clock
) -> None:
    token, lifetime = await tokens.issue_access(grant(), resource=TIME, scope="mcp")
    header, claims = parts(token)
    assert header == {"alg": "RS256", "typ": "at+jwt", "kid": (await ring.signing()).kid}
    assert lifetime == settings.access_token_lifetime
    assert claims.pop("jti")
    assert claims == {
        "iss": "http://localhost:8080", "sub": "local:1", "aud": TIME, "client_id": "client_1",
        "scope": "mcp", "grant_id": "g1", "name": "Ada Lovelace",
        "iat": int(clock()), "exp": int(clock()) + lifetime,
    }  # fmt: skip


async def test_a_token_without_a_server_is_for_the_issuer_and_a_machine_is_its_client(tokens: Tokens) -> None:
    token, _ = await tokens.issue_access(grant(None), resource=None, scope="mcp")
    claims = parts(token)[1]
    assert claims["aud"] == "http://localhost:8080"
    assert claims["sub"] == "client:client_1"
    assert "name" not in claims


async def test_every_token_has_its_own_jti(tokens: Tokens) -> None:
    jtis = {
        parts((await tokens.issue_access(grant(), resource=TIME, scope="mcp"))[0])[1]["jti"] for _ in range(5)
    }
    assert len(jtis) == 5


async def test_a_token_of_ours_verifies_until_it_expires(tokens: Tokens, clock: Clock) -> None:
    token, lifetime = await tokens.issue_access(grant(), resource=TIME, scope="mcp")
    assert (await tokens.verify(token))["sub"] == "local:1"
    clock.advance(lifetime - 1)
    assert (await tokens.verify(token))["sub"] == "local:1"
    clock.advance(1)
    with pytest.raises(InvalidTokenError, match="expired"):
        await tokens.verify(token)


async def test_a_token_of_a_replica_that_just_rotated_its_key_verifies(
    tokens: Tokens, settings: Settings, store: Store, clock: Clock
) -> None:
    old, _ = await tokens.issue_access(grant(), resource=TIME, scope="mcp")
    other = KeyRing(settings, store, clock)
    await other.rotate()
    clock.advance(KNOWN_AFTER)
    new, _ = await Tokens(settings, other, clock).issue_access(grant(), resource=TIME, scope="mcp")
    assert parts(new)[0]["kid"] != parts(old)[0]["kid"]
    assert await tokens.verify(new)
    assert await tokens.verify(old)


async def test_the_tokens_of_a_removed_key_are_refused_although_they_were_verified_before(
    tokens: Tokens, ring: KeyRing
) -> None:
    token, _ = await tokens.issue_access(grant(), resource=TIME, scope="mcp")
    await tokens.verify(token)
    await ring.remove(parts(token)[0]["kid"])
    with pytest.raises(InvalidTokenError):
        await tokens.verify(token)


async def forged(ring: KeyRing, claims: dict[str, Any], **header: object) -> str:
    """A token signed with our real key, with header members of our choice."""
    key = await ring.signing()
    return jws.sign(claims, key.private_pem, {"typ": "at+jwt", "kid": key.kid} | header, "RS256")


async def test_only_our_own_access_tokens_are_accepted(tokens: Tokens, ring: KeyRing, clock: Clock) -> None:
    good = {"iss": "http://localhost:8080", "aud": TIME, "sub": "local:1", "exp": int(clock()) + 60}
    key = await ring.signing()
    public_pem = jwk.construct(key.public, "RS256").to_pem().decode()
    assert await tokens.verify(await forged(ring, good))
    header = base64.urlsafe_b64encode(
        json.dumps({"alg": "none", "typ": "at+jwt", "kid": key.kid}).encode()
    ).rstrip(b"=")
    body = base64.urlsafe_b64encode(json.dumps(good).encode()).rstrip(b"=")
    hmac_key = base64.urlsafe_b64encode(public_pem.encode()).decode()
    confused = jws.sign(good, {"kty": "oct", "k": hmac_key}, {"typ": "at+jwt", "kid": key.kid}, "HS256")
    stranger = rsa.generate_private_key(65537, 2048)
    stranger_pem = stranger.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    valid = await forged(ring, good)
    refused = {
        "alg none": f"{header.decode()}.{body.decode()}.",
        "HS256 with the public key": confused,
        "another key under our kid": jws.sign(good, stranger_pem, {"typ": "at+jwt", "kid": key.kid}, "RS256"),
        "an unknown kid": await forged(ring, good, kid="../../etc/passwd"),
        "a kid that is no text": await forged(ring, good, kid=["x"]),
        "an ID token": await forged(ring, good, typ="JWT"),
        "critical extensions": await forged(ring, good, crit=["b64"]),
        "an embedded key": jws.sign(good, stranger_pem, {"typ": "at+jwt", "jwk": {}, "kid": "x"}, "RS256"),
        "another issuer": await forged(ring, good | {"iss": "http://localhost:8080/"}),
        "a changed body": ".".join([valid.split(".")[0], body.decode()[:-4] + "AAAA", valid.split(".")[2]]),
        "no signature": valid.rpartition(".")[0] + ".",
        "two parts": valid.rpartition(".")[0],
        "too long": valid + "A" * 9000,
    }
    for what, token in refused.items():
        with pytest.raises(InvalidTokenError):
            pytest.fail(f"accepted: {what}: {await tokens.verify(token)}")


@hypothesis_settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=200
)
@given(token=st.text(max_size=40) | st.from_regex(r"[\w-]{0,20}\.[\w-]{0,20}\.[\w-]{0,20}", fullmatch=True))
def test_junk_is_an_invalid_token_and_nothing_else(tokens: Tokens, token: str) -> None:
    with pytest.raises(InvalidTokenError):
        tokens.verify_signature(token)
