"""Sign-in at any OpenID provider, found by discovery (OpenID Connect Core 1.0, Discovery 1.0)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx
from authlib.oidc.core.claims import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from ..errors import AccessDeniedError, ServerError
from ..records import Identity
from ..settings import Settings
from .base import Attempt, authorization_code
from .upstream import authorization_url, exchange_code, json_object, send

ALGORITHMS = (
    "RS256",
    "PS256",
    "ES256",
    "RS384",
    "RS512",
    "PS384",
    "PS512",
    "ES384",
    "ES512",
    "EdDSA",
    "Ed25519",
)
"""Signatures by the provider's published keys only: never `none`, never HMAC with the client secret."""
DISCOVERY_LIFETIME = 3600.0
LEEWAY = 60
"""Seconds by which the provider's clock may differ."""


class OpenIDProvider:
    name = "oidc"

    def __init__(self, settings: Settings, http: httpx.AsyncClient, now: Callable[[], float]) -> None:
        if not (settings.oidc_issuer and settings.oidc_client_id and settings.oidc_client_secret):
            raise ValueError("no OpenID provider is configured")
        self.label = settings.oidc_name
        self._issuer = settings.oidc_issuer
        self._client = (settings.oidc_client_id, settings.oidc_client_secret.get_secret_value())
        self._scope = "openid profile email" + (" groups" if settings.allowed_oidc_groups else "")
        self._http = http
        self._now = now
        self._metadata: dict[str, Any] = {}
        self._keys: KeySet | None = None
        self._read_at = 0.0
        self._reading = asyncio.Lock()

    async def begin(self, attempt: Attempt) -> str:
        metadata = await self._discover()
        supported = metadata.get("scopes_supported")
        scope = self._scope.split()
        if isinstance(supported, list):
            scope = [name for name in scope if name == "openid" or name in supported]
        extra = {"prompt": attempt.prompt} if attempt.prompt else {}
        endpoint = str(metadata["authorization_endpoint"])
        return authorization_url(
            endpoint, self._client[0], " ".join(scope), attempt, nonce=attempt.nonce, **extra
        )

    async def complete(self, attempt: Attempt, answer: Mapping[str, str]) -> Identity:
        metadata = await self._discover()
        named = answer.get("iss")
        promised = metadata.get("authorization_response_iss_parameter_supported")
        if named != self._issuer and (named is not None or promised):
            raise ServerError(f"The answer is not from {self.label} (RFC 9207).")
        code = authorization_code(self.label, answer)
        methods = metadata.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        tokens = await exchange_code(
            self._http,
            self.label,
            str(metadata["token_endpoint"]),
            self._client,
            code,
            attempt,
            basic="client_secret_basic" in methods,
        )
        claims = await self._id_token(tokens, attempt)
        return self._identity(claims, await self._userinfo(metadata, tokens, claims))

    async def _id_token(self, tokens: dict[str, Any], attempt: Attempt) -> dict[str, Any]:
        """The claims of a valid ID token (OpenID Connect Core section 3.1.3.7)."""
        text = tokens.get("id_token")
        if not isinstance(text, str):
            raise ServerError(f"{self.label} sent no ID token.")
        announced = self._metadata.get("id_token_signing_alg_values_supported", ["RS256"])
        algorithms = [name for name in ALGORITHMS if name in announced]
        try:
            try:
                token = jwt.decode(text, await self._key_set(), algorithms=algorithms)
            except (JoseError, ValueError):
                # Perhaps signed with a key that is newer than what we know; asked for once.
                token = jwt.decode(text, await self._key_set(fresh=True), algorithms=algorithms)
            expected = {
                "iss": {"essential": True, "value": self._issuer},
                "nonce": {"essential": True, "value": attempt.nonce},
            }
            claims = CodeIDToken(
                token.claims,
                token.header,
                options=expected,
                params={
                    "client_id": self._client[0],
                    "nonce": attempt.nonce,
                    "access_token": tokens["access_token"],
                },
            )
            claims.validate(now=int(self._now()), leeway=LEEWAY)
        except (JoseError, ValueError):
            raise ServerError(f"The ID token of {self.label} is not valid.") from None
        audience = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
        if self._client[0] not in audience:
            raise ServerError(f"The ID token of {self.label} is for somebody else.")
        return dict(claims)

    async def _userinfo(
        self, metadata: dict[str, Any], tokens: dict[str, Any], claims: dict[str, Any]
    ) -> dict[str, Any]:
        """What the provider tells only there; it must be about the same person (Core section 5.3.2)."""
        endpoint = metadata.get("userinfo_endpoint")
        if not isinstance(endpoint, str):
            return {}
        headers = {"Authorization": f"Bearer {tokens['access_token']}", "Accept": "application/json"}
        response = await send(self._http, self.label, "GET", endpoint, headers=headers)
        if response.headers.get("content-type", "").startswith("application/jwt"):
            return {}
        told = json_object(self.label, response)
        if told.get("sub") != claims["sub"]:
            raise ServerError(f"{self.label} describes another person than it signed in.")
        return told

    def _identity(self, signed: dict[str, Any], told: dict[str, Any]) -> Identity:
        claims = told | signed
        subject = claims.get("sub")
        if not isinstance(subject, str) or not subject or len(subject) > 255:
            raise AccessDeniedError(f"{self.label} did not say who signed in.")
        email = _verified_email(signed) or _verified_email(told)
        groups = claims.get("groups")
        login = claims.get("preferred_username") or email or subject
        name = claims.get("name")
        return Identity(
            provider="oidc",
            subject=subject,
            login=str(login)[:200],
            name=str(name)[:200] if name else None,
            email=email,
            groups=tuple(str(group) for group in groups) if isinstance(groups, list) else (),
        )

    async def _discover(self) -> dict[str, Any]:
        async with self._reading:
            if not self._metadata or self._now() - self._read_at > DISCOVERY_LIFETIME:
                url = f"{self._issuer.rstrip('/')}/.well-known/openid-configuration"
                metadata = json_object(self.label, await send(self._http, self.label, "GET", url))
                if metadata.get("issuer") != self._issuer:
                    raise ServerError(f"{url} names another issuer than OIDC_ISSUER; they must be the same.")
                for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
                    if urlsplit(str(metadata.get(name))).scheme not in (
                        "https",
                        urlsplit(self._issuer).scheme,
                    ):
                        raise ServerError(f"{url} has no usable {name}.")
                self._metadata, self._read_at, self._keys = metadata, self._now(), None
            return self._metadata

    async def _key_set(self, *, fresh: bool = False) -> KeySet:
        if self._keys is None or fresh:
            uri = str(self._metadata["jwks_uri"])
            keys = json_object(self.label, await send(self._http, self.label, "GET", uri))
            if not isinstance(keys.get("keys"), list):
                raise ServerError(f"{uri} is not a JSON Web Key Set.")
            self._keys = KeySet.import_key_set({"keys": keys["keys"]})
        return self._keys


def _verified_email(claims: dict[str, Any]) -> str | None:
    """Address and verification from one and the same document, or nothing."""
    email = claims.get("email")
    return email if isinstance(email, str) and email and claims.get("email_verified") is True else None
