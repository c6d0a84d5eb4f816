"""The gateway's signed word on who sends a request: a JWT in `X-Gateway-Identity`, for one server to check.

ES256, `typ` `mcp-identity+jwt`, `aud` the server's own address, at most five minutes of life. What reaches a
server past the gate carries none, and one that was made for another server is refused (RFC 8725 sections 3.1,
3.8, 3.9 and 3.11). Importing this costs PyJWT and cryptography, some eight megabytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from .identity_header import ALGORITHM, LIFETIME, MAX_SIZE, TYPE

CLOCK_SKEW = 5
"""Seconds by which the clocks of gateway and server may differ."""

Keys = Mapping[str, jwt.PyJWK]
"""Public keys by `kid`."""


class StatementRefusedError(Exception):
    """The statement is missing, wrong, expired or not renewed; one sentence without its content."""


@dataclass(frozen=True, slots=True)
class Statement:
    """Who sends a request, and until when (seconds since the epoch) that is vouched for."""

    user_id: str
    name: str
    client_id: str
    scope: str
    audience: str
    expires_at: float
    kid: str
    text: str


def read_keys(document: bytes) -> tuple[str, Keys]:
    """The issuer, and its keys by `kid`, from what the gateway publishes inside. Raises ValueError."""
    try:
        value = json.loads(document)
        keys = {
            str(key["kid"]): jwt.PyJWK(key, ALGORITHM)
            for key in value["keys"]
            if (key.get("kty"), key.get("crv")) == ("EC", "P-256")
        }
        return str(value["issuer"]), keys
    except (jwt.PyJWTError, RecursionError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError("this is no key set of a gateway") from error


def key_id(text: str) -> str:
    """The `kid` that a statement names, before anything of it is believed. Raises StatementRefusedError."""
    if len(text) > MAX_SIZE or not text.isascii():
        raise StatementRefusedError("The identity statement is malformed.")
    try:
        header = jwt.get_unverified_header(text)
    except (jwt.PyJWTError, ValueError, RecursionError) as error:
        raise StatementRefusedError("The identity statement is malformed.") from error
    kid = header.get("kid")
    if header.get("alg") != ALGORITHM or header.get("typ") != TYPE or "crit" in header:
        raise StatementRefusedError("This is no identity statement.")
    if not isinstance(kid, str):
        raise StatementRefusedError("The identity statement names no key.")
    return kid


def verified(text: str, kid: str, keys: Keys, issuer: str) -> Statement:
    """The content of a statement that this issuer signed with this key. Raises StatementRefusedError.

    Whether it is for this server, and still valid, is for `check` to say, each time it is used.
    """
    try:
        claims: dict[str, Any] = jwt.decode(
            text,
            keys[kid],
            algorithms=[ALGORITHM],
            issuer=issuer,
            options={
                "require": ["iss"],
                "verify_aud": False,
                "verify_exp": False,
                "verify_iat": False,
                "verify_nbf": False,
            },
        )
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise StatementRefusedError("The identity statement was not signed by this gateway.") from error
    issued, expires = claims.get("iat"), claims.get("exp")
    texts = [claims.get(name) for name in ("sub", "name", "client_id", "scope", "aud")]
    if (
        type(issued) is not int
        or type(expires) is not int
        or not 0 < expires - issued <= LIFETIME < expires < 2**53
    ):
        raise StatementRefusedError("The identity statement is malformed.")
    user_id, name, client_id, scope, audience = (text if isinstance(text, str) else "" for text in texts)
    if not user_id or not audience:
        raise StatementRefusedError("The identity statement is malformed.")
    return Statement(user_id, name, client_id, scope, audience, float(expires), kid, text)


def check(statement: Statement, resource: str, now: float) -> None:
    """Raises StatementRefusedError unless the statement is for this resource and has not expired."""
    if statement.audience != resource:
        raise StatementRefusedError("The identity statement is for another server.")
    if statement.expires_at + CLOCK_SKEW <= now:
        raise StatementRefusedError("The identity statement has expired.")
