"""Enterprise-managed authorization: an identity assertion of the company's identity provider for a token
(draft-ietf-oauth-identity-assertion-authz-grant, RFC 7523 section 2.1; SEP-990)."""

from __future__ import annotations

from typing import Any

import httpx

from .. import scopes
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
from ..json_object import parse_object
from ..records import Client, Identity
from . import grant, target, token_response

TYPE = "oauth-id-jag+jwt"
KEYS_LIFETIME = 300.0
KEYS_INTERVAL = 30.0
"""Seconds the provider's keys are used; and before they are asked for again because of an unknown key."""
RESTRICTIONS = {
    "authorization_details": "grants less than a server here can enforce",
    "cnf": "is bound to a key of the client, and access tokens here are not",
}
"""Claims that restrict what the assertion is good for: to drop one would grant more than the provider did."""


class IdJagGrant:
    """Trusts ID_JAG_ISSUER, whose keys are at ID_JAG_JWKS_URI or where its discovery document says."""

    def __init__(self) -> None:
        self._keys: dict[str, Any] = {"keys": []}
        self._fetched_at = float("-inf")

    async def redeem(self, ctx: Context, client: Client, form: Form) -> dict[str, Any]:
        """An access token for the person the assertion names. There is no refresh token: when the token ends,
        the client asks the provider again."""
        if client.auth_method == "none":
            raise UnauthorizedClientError("Only confidential clients may use this grant.")
        try:
            claims = await self._verify(ctx, form.require("assertion"), client)
            resource = _resource(ctx, form, claims)
            identity = _identity(claims)
            await assertions.use_once(ctx, claims)
        except InvalidTokenError as error:
            raise InvalidGrantError(error.reason) from error
        scope = _scope(form, claims)
        await token_response.check_person(ctx, identity, client_id=client.client_id, resource=resource)
        given = await grant.create(
            ctx,
            client=client,
            identity=identity,
            resource=resource,
            scope=scope,
            lives=ctx.settings.access_token_lifetime,
        )
        await ctx.clients.touch(client)
        return await token_response.bearer(ctx, given, resource=resource, scope=scope)

    async def _verify(self, ctx: Context, assertion: str, client: Client) -> dict[str, Any]:
        header, _ = assertions.unverified(assertion)
        if str(header.get("typ", "")).lower().removeprefix("application/") != TYPE:
            raise InvalidTokenError(f"The assertion must be of type {TYPE}.")
        claims = await self._decode(ctx, assertion)
        if claims.get("iss") != ctx.settings.id_jag_issuer:
            raise InvalidTokenError("The assertion is not from the trusted identity provider.")
        if claims.get("client_id") != client.client_id:
            raise InvalidTokenError("The assertion was issued to another client.")
        if "iat" not in claims:
            raise InvalidTokenError("The assertion needs iat.")
        for name, reason in RESTRICTIONS.items():
            if name in claims:
                raise InvalidTokenError(f"An assertion with {name} {reason}; ask for one without it.")
        return claims

    async def _decode(self, ctx: Context, assertion: str) -> dict[str, Any]:
        keys = await self._load_keys(ctx, KEYS_LIFETIME)
        try:
            return _check(ctx, assertion, keys)
        except InvalidTokenError:
            fresh = await self._load_keys(ctx, KEYS_INTERVAL)
            if fresh is keys:
                raise
            return _check(ctx, assertion, fresh)

    async def _load_keys(self, ctx: Context, lifetime: float) -> dict[str, Any]:
        now = ctx.now()
        if now - self._fetched_at >= lifetime:
            self._keys = await _fetch_keys(ctx)
            self._fetched_at = now
        return self._keys


def _check(ctx: Context, assertion: str, keys: dict[str, Any]) -> dict[str, Any]:
    audiences = (ctx.settings.issuer,)
    return assertions.verify(assertion, keys, assertions.ALGORITHMS, audiences, ctx.now())


async def _fetch_keys(ctx: Context) -> dict[str, Any]:
    url = ctx.settings.id_jag_jwks_uri
    try:
        if url is None:
            issuer = str(ctx.settings.id_jag_issuer).rstrip("/")
            url = (await _get(ctx, f"{issuer}/.well-known/openid-configuration"))["jwks_uri"]
        keys = await _get(ctx, str(url))
        if not isinstance(keys.get("keys"), list):
            raise TypeError("not a JSON Web Key Set")  # noqa: TRY301  # any fault gets the same answer
    except (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise TemporarilyUnavailableError(
            "The identity provider's keys cannot be read now; try again."
        ) from error
    return keys


async def _get(ctx: Context, url: str) -> dict[str, Any]:
    response = await ctx.http.get(url)
    response.raise_for_status()
    return parse_object(response.content)


def _resource(ctx: Context, form: Form, claims: dict[str, Any]) -> str:
    """The server that the provider allows: the assertion must name it, the request can only repeat it."""
    named = claims.get("resource")
    named = named[0] if isinstance(named, list) and len(named) == 1 else named
    resource = ctx.resources.canonical(named) if isinstance(named, str) else None
    if resource is None:
        raise InvalidTokenError("The resource in the assertion must be one server of this gateway.")
    if target.named_resource(ctx, form.resources) not in (None, resource):
        raise InvalidTargetError("The resource is not the one in the assertion.")
    return resource


def _scope(form: Form, claims: dict[str, Any]) -> str:
    allowed = claims.get("scope")
    if isinstance(allowed, str) and scopes.MCP not in allowed.split():
        raise InvalidScopeError(f"The assertion does not allow the scope {scopes.MCP}.")
    return scopes.granted(form.get("scope"))


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
