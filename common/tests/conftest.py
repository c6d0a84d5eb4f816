"""A gateway that signs identity statements, as servers see it."""

from __future__ import annotations

import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from common.internal_http import NoAnswerError

ISSUER = "https://auth.example.com"
RESOURCE = "https://echo.example.com/mcp"


class Gateway:
    """Signs what a test wants, publishes its keys, renews; and counts what it is asked."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0
        self.signers: dict[str, Any] = {}
        self.asked: list[str] = []
        self.down = False
        self.revoked = False
        self.add_key("one")

    def add_key(self, kid: str) -> None:
        self.signers[kid] = ec.generate_private_key(ec.SECP256R1())

    def document(self) -> bytes:
        keys = [
            {**json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key())), "kid": kid}
            for kid, key in self.signers.items()
        ]
        return json.dumps({"issuer": ISSUER, "keys": keys}).encode()

    def claims(self, **changes: Any) -> dict[str, Any]:
        claims = {
            "iss": ISSUER,
            "aud": RESOURCE,
            "sub": "local:ada",
            "name": "ada",
            "client_id": "client-1",
            "scope": "mcp",
            "iat": int(self.now),
            "exp": int(self.now) + 300,
        }
        return {name: value for name, value in (claims | changes).items() if value is not None}

    def sign(
        self, *, kid: str = "one", key: Any = None, header: dict[str, Any] | None = None, **claims: Any
    ) -> str:
        given = {"typ": "mcp-identity+jwt", "kid": kid, **(header or {})}
        algorithm = given.pop("alg", "ES256")
        return jwt.encode(self.claims(**claims), key or self.signers[kid], algorithm=algorithm, headers=given)

    async def ask(self, method: str, url: str, body: bytes | None) -> bytes:
        self.asked.append(f"{method} {url}")
        if self.down:
            raise NoAnswerError("the gateway is away")
        if method == "GET":
            return self.document()
        if self.revoked:
            raise NoAnswerError("revoked", 403)
        return json.dumps({"statement": self.sign()}).encode()


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()
