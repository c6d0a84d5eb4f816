"""Who has no valid token for the server, and asks all the same, before, during and after every blow."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import secrets
from collections.abc import Iterator
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from .client import Client
from .record import Record

PAUSE = (0.02, 0.3)
Headers = dict[str, str]


class Attacker:
    """Against one server, with what it has seen of `victim`'s token and with tokens of its own."""

    def __init__(
        self, victim: Client, foreign: Client, expired: str, record: Record, choice: random.Random
    ) -> None:
        self._victim = victim
        self._foreign = foreign
        """A client of another server."""
        self._expired = expired
        """Signed by the gateway itself, for this server."""
        self._record = record
        self._random = choice
        self._key = rsa.generate_private_key(65537, 2048)

    async def live(self, until: asyncio.Event) -> None:
        async with httpx.AsyncClient(timeout=20, trust_env=False) as http:
            while not until.is_set():
                name, headers = self._random.choice(list(self._wrong()))
                try:
                    await self._try(http, name, headers)
                except httpx.HTTPError as error:
                    self._record.counts[f"attack: {type(error).__name__}"] += 1
                await asyncio.sleep(self._random.uniform(*PAUSE))

    async def _try(self, http: httpx.AsyncClient, name: str, headers: Headers) -> None:
        word = secrets.token_hex(8)
        self._record.forbidden.add(word)
        answer = await http.send(self._victim.request_call(word, headers))
        self._record.counts[f"attack: {answer.status_code}"] += 1
        if answer.status_code < 400 or word in answer.text:
            self._record.violated(
                f"{self._victim.name}: {name} was let in: {answer.status_code} {answer.text}"
            )

    def _wrong(self) -> Iterator[tuple[str, Headers]]:
        tokens = self._victim.access.tokens
        valid = tokens["access_token"]
        head, claims, signature = valid.split(".")
        yield "no token", {}
        claimed = {"X-User-Id": "local:admin", "X-User-Name": "admin", "X-Gateway-Identity": valid}
        yield "a claimed identity", claimed
        yield "a token in a cookie", {"Cookie": f"access_token={valid}"}
        yield "a token as a password", {"Authorization": "Basic " + _encoded(f":{valid}")}
        for name, token in (
            ("a word", "admin"),
            ("a changed signature", f"{head}.{claims}.{signature[:-8]}AAAAAAAA"),
            ("no signature", f"{_unsigned(head)}.{claims}."),
            ("another's signature", self._forged(head, claims)),
            ("changed claims", f"{head}.{_changed(claims)}.{signature}"),
            ("an expired token", self._expired),
            ("another server's token", self._foreign.access.tokens["access_token"]),
            ("a refresh token", tokens["refresh_token"]),
        ):
            yield name, {"Authorization": f"Bearer {token}"}

    def _forged(self, head: str, claims: str) -> str:
        return jwt.encode(_decoded(claims), self._key, algorithm="RS256", headers=_decoded(head))


def _unsigned(head: str) -> str:
    return _encoded(json.dumps({**_decoded(head), "alg": "none"}))


def _changed(claims: str) -> str:
    known = _decoded(claims)
    return _encoded(json.dumps({**known, "sub": "local:another", "exp": known["exp"] + 86400}))


def _decoded(part: str) -> dict[str, Any]:
    return dict(json.loads(base64.urlsafe_b64decode(part + "==")))


def _encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()
