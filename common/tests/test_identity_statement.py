"""Identity statements: what is believed, what is refused, and when the gateway is asked."""

from __future__ import annotations

import base64
import hmac
import json
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from common.gateway_identity import KEYS_AGE, KEYS_PAUSE, GatewayIdentity, GatewayUnavailableError
from common.identity_header import MAX_SIZE
from common.identity_statement import StatementRefusedError, read_keys

from .conftest import ISSUER, RESOURCE, Gateway

if TYPE_CHECKING:
    from collections.abc import Callable


def identity(gateway: Gateway) -> GatewayIdentity:
    return GatewayIdentity("http://edge:8090/internal/identity/", ask=gateway.ask, now=lambda: gateway.now)


async def test_a_statement_says_who_asks(gateway: Gateway) -> None:
    statement = await identity(gateway).check(gateway.sign(name="Zoë"), RESOURCE)
    assert (statement.user_id, statement.name, statement.client_id) == ("local:ada", "Zoë", "client-1")
    assert (statement.scope, statement.expires_at) == ("mcp", gateway.now + 300)
    assert gateway.asked == ["GET http://edge:8090/internal/identity/keys"]


def compact(header: dict[str, Any], claims: dict[str, Any]) -> str:
    parts = (
        json.dumps(part).encode() for part in ({"typ": "mcp-identity+jwt", "kid": "one"} | header, claims)
    )
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def unsigned(gateway: Gateway) -> str:
    return compact({"alg": "none"}, gateway.claims()) + "."


def by_hmac_of_the_public_key(gateway: Gateway) -> str:
    """RFC 8725 section 2.1: the algorithm is not the token's to choose."""
    public = gateway.signers["one"].public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    text = compact({"alg": "HS256"}, gateway.claims())
    mac = base64.urlsafe_b64encode(hmac.digest(pem, text.encode(), "sha256")).rstrip(b"=").decode()
    return f"{text}.{mac}"


ATTACKS: dict[str, Callable[[Gateway], str | None]] = {
    "no statement": lambda _: None,
    "an empty one": lambda _: "",
    "for another server": lambda g: g.sign(aud="https://fetch.example.com/mcp"),
    "for a nested endpoint": lambda g: g.sign(aud="https://echo.example.com/sub/mcp"),
    "for several": lambda g: g.sign(aud=[RESOURCE, "https://fetch.example.com/mcp"]),
    "for nobody": lambda g: g.sign(aud=None),
    "expired": lambda g: g.sign(iat=int(g.now) - 400, exp=int(g.now) - 100),
    "without an end": lambda g: g.sign(exp=None),
    "with an infinite end": lambda g: g.sign(exp=float("inf")),
    "with a huge end": lambda g: g.sign(iat=10**300, exp=10**300 + 10),
    "with a life too long": lambda g: g.sign(exp=int(g.now) + 301),
    "without a beginning": lambda g: g.sign(iat=None),
    "of another issuer": lambda g: g.sign(iss="https://auth.evil.example"),
    "of no issuer": lambda g: g.sign(iss=None),
    "of nobody": lambda g: g.sign(sub=None),
    "an access token": lambda g: g.sign(header={"typ": "at+jwt"}),
    "a plain JWT": lambda g: g.sign(header={"typ": "JWT"}),
    "unsigned": unsigned,
    "HMAC": by_hmac_of_the_public_key,
    "RSA": lambda g: g.sign(key=rsa.generate_private_key(65537, 2048), header={"alg": "RS256"}),
    "another key of the same name": lambda g: g.sign(key=ec.generate_private_key(ec.SECP256R1())),
    "a key of another name": lambda g: g.sign(key=g.signers["one"], kid="two"),
    "a critical extension": lambda g: g.sign(header={"crit": ["b64"], "b64": True}),
    "a changed one": lambda g: g.sign().replace(".e", ".f", 1),
    "a cut one": lambda g: g.sign()[:-20],
    "a large one": lambda g: g.sign(name="x" * MAX_SIZE),
    "nested brackets": lambda _: base64.urlsafe_b64encode(b"[" * 700).decode() + ".e30.x",
    "not ASCII": lambda g: g.sign() + "ä",
}


@pytest.mark.parametrize("attack", ATTACKS)
async def test_it_is_refused(gateway: Gateway, attack: str) -> None:
    with pytest.raises(StatementRefusedError):
        await identity(gateway).check(ATTACKS[attack](gateway), RESOURCE)


@given(st.text(max_size=200))
async def test_no_text_breaks_the_reading(text: str) -> None:
    gateway = Gateway()
    with pytest.raises(StatementRefusedError):
        await identity(gateway).check(text, RESOURCE)


async def test_what_was_valid_is_refused_once_it_has_expired(gateway: Gateway) -> None:
    asker = identity(gateway)
    text = gateway.sign()
    await asker.check(text, RESOURCE)
    gateway.now += 400
    with pytest.raises(StatementRefusedError, match="expired"):
        await asker.check(text, RESOURCE)


async def test_a_verified_statement_is_for_its_own_server_at_every_use(gateway: Gateway) -> None:
    asker = identity(gateway)
    text = gateway.sign()
    await asker.check(text, RESOURCE)
    with pytest.raises(StatementRefusedError, match="another server"):
        await asker.check(text, "https://echo.example.com/sub/mcp")


async def test_an_unknown_key_is_asked_for_once_and_an_invented_one_hammers_nobody(gateway: Gateway) -> None:
    asker = identity(gateway)
    await asker.check(gateway.sign(), RESOURCE)
    gateway.add_key("two")
    gateway.now += KEYS_PAUSE
    await asker.check(gateway.sign(kid="two"), RESOURCE)
    assert len(gateway.asked) == 2
    gateway.add_key("three")
    invented = gateway.sign(kid="three")
    del gateway.signers["three"]
    for _ in range(50):
        with pytest.raises((StatementRefusedError, GatewayUnavailableError)):
            await asker.check(invented, RESOURCE)
        await asker.check(gateway.sign(), RESOURCE)
    assert len(gateway.asked) == 2


async def test_the_last_keys_are_kept_while_the_gateway_is_away(gateway: Gateway) -> None:
    asker = identity(gateway)
    gateway.down = True
    with pytest.raises(GatewayUnavailableError):
        await asker.check(gateway.sign(), RESOURCE)
    gateway.down = False
    gateway.now += KEYS_PAUSE
    await asker.check(gateway.sign(), RESOURCE)
    gateway.down = True
    gateway.now += 10 * KEYS_AGE
    await asker.check(gateway.sign(), RESOURCE)


async def test_a_withdrawn_key_is_forgotten_within_minutes(gateway: Gateway) -> None:
    asker = identity(gateway)
    gateway.add_key("two")
    text = gateway.sign()
    await asker.check(text, RESOURCE)
    withdrawn = gateway.signers.pop("one")
    gateway.now += KEYS_AGE + 1
    await asker.check(gateway.sign(kid="two"), RESOURCE)
    assert asker._reading is not None
    await asker._reading
    gateway.now += KEYS_PAUSE
    with pytest.raises(StatementRefusedError):
        await asker.check(gateway.sign(key=withdrawn), RESOURCE)
    with pytest.raises((StatementRefusedError, GatewayUnavailableError)):
        await asker.check(text, RESOURCE)


async def test_a_renewal_gives_a_younger_statement_until_the_sign_in_is_revoked(gateway: Gateway) -> None:
    asker = identity(gateway)
    old = await asker.check(gateway.sign(), RESOURCE)
    gateway.now += 60
    new = await asker.renew(old)
    assert new.expires_at == old.expires_at + 60
    gateway.down = True
    with pytest.raises(GatewayUnavailableError):
        await asker.renew(new)
    gateway.down, gateway.revoked = False, True
    with pytest.raises(StatementRefusedError, match="revoked"):
        await asker.renew(new)


@pytest.mark.parametrize(
    "document",
    [b"", b"[]", b"{}", b'{"keys": []}', b'{"issuer": "x", "keys": [7]}', b'{"issuer": "x", "keys": 7}',
     b"[" * 9000,
     b'{"issuer": "x", "keys": [{"kty": "EC", "crv": "P-256", "kid": "k", "x": "?", "y": "?"}]}'],
)  # fmt: skip
def test_a_malformed_key_set_is_none(document: bytes) -> None:
    with pytest.raises(ValueError, match="no key set"):
        read_keys(document)


def test_keys_of_another_kind_are_passed_over(gateway: Gateway) -> None:
    value = json.loads(gateway.document())
    value["keys"].append({"kty": "RSA", "kid": "r", "n": "AQAB", "e": "AQAB"})
    issuer, keys = read_keys(json.dumps(value).encode())
    assert (issuer, list(keys)) == (ISSUER, ["one"])
