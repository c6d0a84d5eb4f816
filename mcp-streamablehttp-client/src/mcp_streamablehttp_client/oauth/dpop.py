"""Tokens bound to a key of this client (DPoP, RFC 9449): whoever steals one cannot use it.

One ES256 key for each sign-in, kept beside its tokens. `joserfc` is imported only where a proof is made.
"""

from __future__ import annotations

import json
import secrets
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .web import Answer, Web  # httpx, which a bridge that has its tokens never needs

ALGORITHM = "ES256"


def new_key() -> str:
    """A private key as a JWK."""
    from joserfc.jwk import ECKey

    return json.dumps(ECKey.generate_key("P-256").as_dict(private=True))


def proof(
    key: str, method: str, url: str, *, access_token: str | None = None, nonce: str | None = None
) -> str:
    """A proof for one request (section 4.2), with `ath` where it goes with an access token."""
    from hashlib import sha256

    from joserfc import jwt
    from joserfc.util import urlsafe_b64encode

    private = _imported(key)
    claims: dict[str, Any] = {
        "jti": secrets.token_urlsafe(16),
        "htm": method,
        "htu": url.partition("#")[0].partition("?")[0],
        "iat": int(time.time()),
    }
    if access_token is not None:
        claims["ath"] = urlsafe_b64encode(sha256(access_token.encode("ascii")).digest()).decode("ascii")
    if nonce is not None:
        claims["nonce"] = nonce
    public = {name: private.dict_value[name] for name in ("kty", "crv", "x", "y")}
    header = {"typ": "dpop+jwt", "alg": ALGORITHM, "jwk": public}
    return jwt.encode(header, claims, private, algorithms=[ALGORITHM])


async def token_request(
    web: Web, url: str, key: str, form: dict[str, str], headers: dict[str, str]
) -> Answer:
    """A request to the token endpoint with its proof (section 5), once more with the nonce that the
    server demands (section 8)."""
    nonce = None
    while True:
        fields = headers | {"DPoP": proof(key, "POST", url, nonce=nonce)}
        reply = await web.exchange("POST", url, form=form, headers=fields)
        demanded = (reply.document or {}).get("error") == "use_dpop_nonce"
        if not demanded or nonce is not None or reply.dpop_nonce is None:
            return reply
        nonce = reply.dpop_nonce


@lru_cache(maxsize=4)
def _imported(key: str) -> Any:
    from joserfc.jwk import ECKey

    return ECKey.import_key(json.loads(key))
