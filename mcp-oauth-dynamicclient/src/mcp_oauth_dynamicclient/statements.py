"""Identity statements: the signed word on who sends a request, which servers check (`X-Gateway-Identity`).

Made once for a token and a minute, not for a request, and for one server: whoever holds one can show it to
nobody else.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from ._common.identity_header import ALGORITHM, LIFETIME, MAX_SIZE, TYPE
from .errors import InvalidTokenError
from .json_object import parse_object
from .keys import SigningKey, StatementKeyRing
from .records import Grant
from .settings import Settings
from .tokens import subject

MINUTE = 60
REMEMBERED = 4096
"""Statements of this minute; each is smaller than a kilobyte or two."""
SMALL = 1024
"""Octets that a statement has at most, as far as that is possible without losing who is meant."""
LONGEST_NAME = 64
"""Characters of a name, which is for people to read; `sub` says who it is."""
LEEWAY = 30
"""Seconds after its end in which a statement is still renewed: a request was under way."""


class Statements:
    def __init__(
        self, settings: Settings, keys: StatementKeyRing, now: Callable[[], float] = time.time
    ) -> None:
        self._issuer = settings.issuer
        self._keys = keys
        self._now = now
        self._made: OrderedDict[tuple[str, str], tuple[int, str]] = OrderedDict()

    async def about(self, grant: Grant, token: Mapping[str, Any], resource: str) -> str:
        """The statement, for one server, on whom a grant and an access token of it belong to.

        Of the token's claims, `jti` and `scope` count. Raises StoreUnavailableError if no key can sign.
        """
        jti = str(token["jti"])
        minute = int(self._now()) // MINUTE
        made, text = self._made.get((jti, resource), (None, ""))
        if made != minute:
            text = self._sign(await self._keys.signing(), self._claims(grant, token, resource))
            self._made[jti, resource] = minute, text
            self._made.move_to_end((jti, resource))
            while len(self._made) > REMEMBERED:
                self._made.popitem(last=False)
        return text

    async def read(self, text: str) -> dict[str, Any]:
        """The claims of a statement of ours that is to be renewed. Raises InvalidTokenError."""
        refused = InvalidTokenError("This is no identity statement of this gateway.")
        if len(text) > MAX_SIZE or not text.isascii():
            raise refused
        await self._keys.refresh()
        try:
            header = jws.extract_compact(text.encode()).headers()
            key = await self._keys.seek(str(header.get("kid")))
            if key is None or header.get("typ") != TYPE or header.get("alg") != ALGORITHM:
                raise refused
            payload = jws.deserialize_compact(text, ECKey.import_key(dict(key.public)), [ALGORITHM]).payload
            claims = parse_object(payload)
        except (JoseError, ValueError, TypeError, RecursionError) as error:
            raise refused from error
        if claims.get("iss") != self._issuer or claims["exp"] + LEEWAY <= self._now():
            raise refused
        return claims

    async def published(self) -> dict[str, Any]:
        """The public keys as servers read them, with the issuer that signs (RFC 7517 section 5)."""
        return {"issuer": self._issuer, "keys": [key.public for key in await self._keys.published()]}

    def _claims(self, grant: Grant, token: Mapping[str, Any], resource: str) -> dict[str, Any]:
        now = int(self._now())
        name = grant.client_name if grant.identity is None else grant.identity.login
        return {
            "iss": self._issuer,
            "aud": resource,
            "sub": subject(grant),
            "name": name[:LONGEST_NAME],
            "client_id": grant.client_id,
            "scope": token["scope"],
            "iat": now,
            "exp": now + LIFETIME,
            "jti": token["jti"],
            "sid": grant.grant_id,
        }

    def _sign(self, key: SigningKey, claims: dict[str, Any]) -> str:
        private = ECKey.import_key(key.private_pem)
        header = {"alg": ALGORITHM, "typ": TYPE, "kid": key.kid}
        text = jws.serialize_compact(header, json.dumps(claims).encode(), private, [ALGORITHM])
        if len(text) < SMALL:
            return text
        # The address of a client's document can be long, and so can a name in other scripts.
        named = hashlib.sha256(claims["client_id"].encode()).hexdigest()
        shorter = {**claims, "name": "", "client_id": f"sha256:{named}"}
        return jws.serialize_compact(header, json.dumps(shorter).encode(), private, [ALGORITHM])
