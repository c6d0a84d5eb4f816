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
from .base import SignedIn, StillVouched, UpstreamRequest, authorization_code
from .upstream import authorization_url, exchange_code, json_object, refresh, send

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
        self._may_ask_for_offline_access = True
        self._metadata: dict[str, Any] = {}
        self._keys: KeySet | None = None
        self._read_at = 0.0
        self._reading = asyncio.Lock()

    async def begin(self, request: UpstreamRequest) -> str:
        metadata = await self._discover()
        supported = metadata.get("scopes_supported")
        scope = self._scope.split()
        if isinstance(supported, list):
            scope = [name for name in scope if name == "openid" or name in supported]
            # A refresh token of the provider's, to ask with whether the person is still known there.
            if "offline_access" in supported and self._may_ask_for_offline_access:
                scope.append("offline_access")
        extra = {"prompt": request.prompt} if request.prompt else {}
        endpoint = str(metadata["authorization_endpoint"])
        return authorization_url(
            endpoint, self._client[0], " ".join(scope), request, nonce=request.nonce, **extra
        )

    async def complete(self, request: UpstreamRequest, answer: Mapping[str, str]) -> SignedIn:
        metadata = await self._discover()
        named = answer.get("iss")
        promised = metadata.get("authorization_response_iss_parameter_supported")
        if named != self._issuer and (named is not None or promised):
            raise ServerError(f"The answer is not from {self.label} (RFC 9207).")
        if answer.get("error") == "invalid_scope" and self._may_ask_for_offline_access:
            # It offers the scope, but not to this client.
            self._may_ask_for_offline_access = False
            raise ServerError(
                f"{self.label} grants no offline access, so it is no longer asked for: try again."
            )
        code = authorization_code(self.label, answer)
        tokens = await exchange_code(
            self._http,
            self.label,
            str(metadata["token_endpoint"]),
            self._client,
            code,
            request,
            basic=_wants_basic(metadata),
        )
        claims = await self._id_token(tokens, request.nonce)
        identity = self._identity(claims, await self._userinfo(metadata, tokens, claims))
        return SignedIn(identity, _refresh_token(tokens))

    async def ask_again(self, token: str, subject: str) -> StillVouched:
        metadata = await self._discover()
        endpoint = str(metadata["token_endpoint"])
        tokens = await refresh(
            self._http, self.label, endpoint, self._client, token, basic=_wants_basic(metadata)
        )
        claims = {"sub": subject}
        if "id_token" in tokens:
            claims = await self._id_token(tokens, None)
            if claims.get("sub") != subject:
                raise ServerError(f"{self.label} answered about another person than it was asked about.")
        told = await self._userinfo(metadata, tokens, claims) | claims
        groups = _groups(told) if "groups" in told else None
        return StillVouched(_refresh_token(tokens) or token, groups)

    async def _id_token(self, tokens: dict[str, Any], nonce: str | None) -> dict[str, Any]:
        """The claims of a valid ID token (OpenID Connect Core section 3.1.3.7); without a nonce of one that
        came with a refresh (section 12.2)."""
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
            expected: dict[str, Any] = {"iss": {"essential": True, "value": self._issuer}}
            params = {"client_id": self._client[0], "access_token": tokens["access_token"]}
            if nonce is not None:
                expected["nonce"] = {"essential": True, "value": nonce}
                params["nonce"] = nonce
            claims = CodeIDToken(token.claims, token.header, options=expected, params=params)
            claims.validate(now=int(self._now()), leeway=LEEWAY)
        except (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ServerError(f"The ID token of {self.label} is not valid.") from error
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
        login = claims.get("preferred_username") or email or subject
        name = claims.get("name")
        return Identity(
            provider="oidc",
            subject=subject,
            login=str(login)[:200],
            name=str(name)[:200] if name else None,
            email=email,
            groups=_groups(claims),
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


def _wants_basic(metadata: dict[str, Any]) -> bool:
    return "client_secret_basic" in metadata.get(
        "token_endpoint_auth_methods_supported", ["client_secret_basic"]
    )


def _refresh_token(tokens: dict[str, Any]) -> str | None:
    token = tokens.get("refresh_token")
    return token if isinstance(token, str) and token else None


def _groups(claims: dict[str, Any]) -> tuple[str, ...]:
    groups = claims.get("groups")
    return tuple(str(group) for group in groups) if isinstance(groups, list) else ()


def _verified_email(claims: dict[str, Any]) -> str | None:
    """Address and verification from one and the same document, or nothing."""
    email = claims.get("email")
    return email if isinstance(email, str) and email and claims.get("email_verified") is True else None
