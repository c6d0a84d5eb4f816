"""Client authentication (RFC 6749 section 2.3, RFC 7523 section 2.2): the registered method, no other."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from ..context import Context
from ..errors import InvalidClientError, InvalidRequestError, InvalidTokenError
from ..forms import Form
from ..records import Client
from ..tokens import digest
from . import assertions
from .documents import UnusableDocumentError

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class ClientAuthenticationError(InvalidClientError):
    """Always 401 with a challenge (RFC 6749 section 5.2, RFC 7617 section 2)."""

    status_code = 401

    def get_headers(self) -> list[tuple[str, str]]:
        return [*super().get_headers(), ("WWW-Authenticate", 'Basic realm="oauth", error="invalid_client"')]


@dataclass(frozen=True, slots=True)
class Presented:
    """What a request offers: the method it amounts to, who it claims to be, and the proof."""

    method: str
    client_id: str
    proof: tuple[str, ...] = ()


async def authenticate(ctx: Context, form: Form, headers: Mapping[str, str]) -> Client:
    """The client that sent a request. Raises ClientAuthenticationError, or InvalidRequestError when it
    authenticates in two ways at once."""
    presented = _presented(form, headers)
    try:
        client = await _known(ctx, presented.client_id)
    except ClientAuthenticationError as error:
        claimed = presented.client_id
        ctx.audit.record("client.authenticate", outcome="refused", claimed_client=claimed, error=error)
        raise
    try:
        await _check(ctx, client, presented)
    except ClientAuthenticationError as error:
        ctx.audit.record("client.authenticate", outcome="refused", client=client.client_id, error=error)
        raise
    return client


async def _known(ctx: Context, client_id: str) -> Client:
    try:
        client = await ctx.clients.find(client_id)
    except UnusableDocumentError as error:
        raise ClientAuthenticationError(error.sentence, quoted=error.quoted) from error
    if client is None:
        raise ClientAuthenticationError("This client is not known here; register again.")
    return client


async def _check(ctx: Context, client: Client, presented: Presented) -> None:
    if presented.method != client.auth_method:
        raise ClientAuthenticationError(
            f"This client is registered with the authentication method {client.auth_method}; use that."
        )
    if presented.method == "private_key_jwt":
        await _check_assertion(ctx, client, presented.proof[0])
    elif presented.method != "none" and not _is_secret(client, presented.proof):
        raise ClientAuthenticationError("The client secret is wrong.")


def _presented(form: Form, headers: Mapping[str, str]) -> Presented:
    header = headers.get("authorization")
    client_id, secret, assertion = (
        form.get("client_id"),
        form.get("client_secret"),
        form.get("client_assertion"),
    )
    if sum(way is not None for way in (header, secret, assertion)) > 1:
        raise InvalidRequestError("Authenticate in one way only.")
    if header is not None:
        name, proof = _basic(header)
        presented = Presented("client_secret_basic", name, proof)
    elif assertion is not None:
        if form.get("client_assertion_type") != ASSERTION_TYPE:
            raise InvalidRequestError(f"client_assertion_type must be {ASSERTION_TYPE}.")
        presented = Presented("private_key_jwt", _subject(assertion), (assertion,))
    elif client_id is None:
        raise ClientAuthenticationError("The request does not say which client sends it.")
    elif secret is not None:
        return Presented("client_secret_post", client_id, (secret,))
    else:
        return Presented("none", client_id)
    if client_id not in (None, presented.client_id):
        raise ClientAuthenticationError("The client_id is not that of the credentials.")
    return presented


def _basic(header: str) -> tuple[str, tuple[str, ...]]:
    """The client_id, and the secret as RFC 6749 section 2.3.1 encodes it or as it came: not all encode."""
    scheme, _, credentials = header.partition(" ")
    try:
        decoded = base64.b64decode(credentials.strip(), validate=True).decode("utf-8")
    except ValueError:
        decoded = ""
    name, colon, secret = decoded.partition(":")
    if scheme.lower() != "basic" or not colon or not name:
        raise ClientAuthenticationError("The Authorization header must be Basic with client_id and secret.")
    return unquote_plus(name), (unquote_plus(secret), secret)


def _subject(assertion: str) -> str:
    try:
        _, claims = assertions.unverified(assertion)
    except InvalidTokenError as error:
        raise ClientAuthenticationError(error.sentence, quoted=error.quoted) from error
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject or claims.get("iss") != subject:
        raise ClientAuthenticationError(
            "iss and sub of the assertion must both be the client_id (RFC 7523 3)."
        )
    return subject


def _is_secret(client: Client, candidates: tuple[str, ...]) -> bool:
    known = client.secret_hash
    return known is not None and any(hmac.compare_digest(digest(secret), known) for secret in candidates)


async def _check_assertion(ctx: Context, client: Client, assertion: str) -> None:
    try:
        claims = await _verified(ctx, client, assertion)
        await assertions.use_once(ctx, claims)
    except (InvalidTokenError, UnusableDocumentError) as error:
        raise ClientAuthenticationError(error.sentence, quoted=error.quoted) from error


async def _verified(ctx: Context, client: Client, assertion: str) -> dict[str, Any]:
    algorithm = client.metadata.get("token_endpoint_auth_signing_alg")
    algorithms = (algorithm,) if algorithm else assertions.ALGORITHMS
    audiences = (ctx.settings.issuer, f"{ctx.settings.issuer}/token")
    try:
        keys = await ctx.clients.keys(client)
        return assertions.verify(assertion, keys, algorithms, audiences, ctx.now())
    except InvalidTokenError:
        if "jwks_uri" not in client.metadata:
            raise
    # The client may have changed its keys since they were fetched.
    keys = await ctx.clients.keys(client, renew=True)
    return assertions.verify(assertion, keys, algorithms, audiences, ctx.now())
