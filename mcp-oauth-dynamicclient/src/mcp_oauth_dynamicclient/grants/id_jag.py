"""Enterprise-managed authorization: an identity assertion of the company's identity provider for a token
(draft-ietf-oauth-identity-assertion-authz-grant, RFC 7523 section 2.1; SEP-990)."""

from __future__ import annotations

from typing import Any

import httpx

from ..clients import assertions
from ..context import Context
from ..errors import (
    InvalidGrantError,
    InvalidScopeError,
    InvalidTargetError,
    InvalidTokenError,
    TemporarilyUnavailableError,
    UnauthorizedClientError,
)
from ..forms import Form
from ..records import Client, Identity
from ..tokens import ASSERTION_ALGORITHMS
from . import answer, grant, target

TYPE = "oauth-id-jag+jwt"
PROFILE = "urn:ietf:params:oauth:grant-profile:id-jag"
"""For `authorization_grant_profiles_supported` in the metadata."""
KEYS_LIFETIME = 300.0
KEYS_INTERVAL = 30.0
"""Seconds the provider's keys are used; and before they are asked for again because of an unknown key."""


class IdJagGrant:
    """Trusts ID_JAG_ISSUER, whose keys are at ID_JAG_JWKS_URI or where its discovery document says."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._keys: dict[str, Any] = {"keys": []}
        self._fetched_at = float("-inf")

    async def redeem(self, ctx: Context, client: Client, form: Form) -> dict[str, Any]:
        """An access token for the person the assertion names. There is no refresh token: when the token ends,
        the client asks the provider again."""
        if client.auth_method == "none":
            raise UnauthorizedClientError("Only confidential clients may use this grant.")
        try:
            claims = await self._verify(form.require("assertion"), client)
            resource = _resource(ctx, form, claims)
            identity = _identity(claims)
            await assertions.use_once(ctx, claims)
        except InvalidTokenError as error:
            raise InvalidGrantError(error.description) from None
        scope = _scope(form, claims)
        await answer.check_person(ctx, identity, client_id=client.client_id, resource=resource)
        given = await grant.create(
            ctx,
            client=client,
            identity=identity,
            resource=resource,
            scope=scope,
            lives=ctx.settings.access_token_lifetime,
        )
        await ctx.clients.touch(client)
        return await answer.bearer(ctx, given, resource=resource, scope=scope)

    async def _verify(self, assertion: str, client: Client) -> dict[str, Any]:
        header, _ = assertions.unverified(assertion)
        if str(header.get("typ", "")).lower().removeprefix("application/") != TYPE:
            raise InvalidTokenError(f"The assertion must be of type {TYPE}.")
        claims = await self._decode(assertion)
        if claims.get("iss") != self._ctx.settings.id_jag_issuer:
            raise InvalidTokenError("The assertion is not from the trusted identity provider.")
        if claims.get("client_id") != client.client_id:
            raise InvalidTokenError("The assertion was issued to another client.")
        if "iat" not in claims:
            raise InvalidTokenError("The assertion needs iat.")
        return claims

    async def _decode(self, assertion: str) -> dict[str, Any]:
        keys = await self._load_keys(KEYS_LIFETIME)
        try:
            return self._check(assertion, keys)
        except InvalidTokenError:
            fresh = await self._load_keys(KEYS_INTERVAL)
            if fresh is keys:
                raise
            return self._check(assertion, fresh)

    def _check(self, assertion: str, keys: dict[str, Any]) -> dict[str, Any]:
        audiences = (self._ctx.settings.issuer,)
        return self._ctx.tokens.decode_assertion(assertion, keys, ASSERTION_ALGORITHMS, audiences)

    async def _load_keys(self, lifetime: float) -> dict[str, Any]:
        now = self._ctx.now()
        if now - self._fetched_at >= lifetime:
            self._keys = await self._fetch_keys()
            self._fetched_at = now
        return self._keys

    async def _fetch_keys(self) -> dict[str, Any]:
        settings = self._ctx.settings
        try:
            url = settings.id_jag_jwks_uri
            if url is None:
                issuer = str(settings.id_jag_issuer).rstrip("/")
                url = (await self._get(f"{issuer}/.well-known/openid-configuration"))["jwks_uri"]
            keys = await self._get(str(url))
            if not isinstance(keys.get("keys"), list):
                raise TypeError  # noqa: TRY301  # every fault of the provider gets the same answer
        except (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError):
            raise TemporarilyUnavailableError(
                "The identity provider's keys cannot be read now; try again."
            ) from None
        return keys

    async def _get(self, url: str) -> dict[str, Any]:
        response = await self._ctx.http.get(url)
        response.raise_for_status()
        value: dict[str, Any] = response.json()
        return value


def _resource(ctx: Context, form: Form, claims: dict[str, Any]) -> str:
    """The server that the provider allows: the assertion must name it, the request can only repeat it."""
    named = claims.get("resource")
    named = named[0] if isinstance(named, list) and len(named) == 1 else named
    resource = ctx.resources.canonical(named) if isinstance(named, str) else None
    if resource is None:
        raise InvalidTokenError("The resource in the assertion must be one server of this gateway.")
    if target.resource_of(ctx, form) not in (None, resource):
        raise InvalidTargetError("The resource is not the one in the assertion.")
    return resource


def _scope(form: Form, claims: dict[str, Any]) -> str:
    allowed = claims.get("scope")
    if isinstance(allowed, str) and target.DEFAULT_SCOPE not in allowed.split():
        raise InvalidScopeError(f"The assertion does not allow the scope {target.DEFAULT_SCOPE}.")
    return target.new_scope(form.get("scope"))


def _identity(claims: dict[str, Any]) -> Identity:
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= 255:
        raise InvalidTokenError("The assertion needs sub.")
    email = _text(claims, "email") if claims.get("email_verified", True) is True else None
    return Identity(
        provider="id-jag",
        subject=subject,
        login=_text(claims, "preferred_username") or email or subject,
        name=_text(claims, "name"),
        email=email,
        groups=tuple(group for group in _list(claims.get("groups")) if isinstance(group, str)),
    )


def _text(claims: dict[str, Any], name: str) -> str | None:
    value = claims.get(name)
    return value[:255] if isinstance(value, str) and value else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
