"""What an authorization request must satisfy, one small step each (RFC 6749 section 4.1.1, OAuth 2.1).

Until client and redirect URI are verified a fault is shown to the person; afterwards the client is told.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from .. import scopes
from ..clients import redirects
from ..context import Context
from ..errors import (
    InvalidClientError,
    InvalidRedirectURIError,
    InvalidRequestError,
    InvalidScopeError,
    OAuth2Error,
    UnauthorizedClientError,
    UnsupportedResponseTypeError,
)
from ..grants import target
from ..records import Client
from .request import AuthorizationRequest, RedirectedError, UnverifiedError

CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+(?: +[\x21\x23-\x5b\x5d-\x7e]+)*")
PROMPTS = {"none", "login", "consent", "select_account"}


class RequestNotSupportedError(OAuth2Error):
    """Request objects are not read here (OpenID Connect Core section 3.1.2.6)."""

    error = "request_not_supported"


@dataclass(slots=True)
class Draft:
    """What came, before it is known who may be told what is wrong with it."""

    given: dict[str, str]
    resources: list[str]
    repeated: set[str]
    client: Client | None = None

    @property
    def state(self) -> str | None:
        return None if "state" in self.repeated else self.given.get("state")

    def single(self, name: str) -> str | None:
        return self.given.get(name) or None


@dataclass(slots=True)
class Verified(Draft):
    """The request of a client that is known, to a redirect URI that is its own, while the rest is checked."""

    client: Client
    redirect_uri: str
    code_challenge: str = ""
    resource: str | None = None
    scope: str = ""
    prompts: tuple[str, ...] = ()


async def check(ctx: Context, parameters: Sequence[tuple[str, str]]) -> tuple[Client, AuthorizationRequest]:
    """Raises UnverifiedError before client and redirect URI are known to be good, RedirectedError after."""
    counts = Counter(name for name, _ in parameters if name != "resource")
    draft = Draft(
        given=dict(parameters),
        resources=[value for name, value in parameters if name == "resource" and value],
        repeated={name for name, count in counts.items() if count > 1},
    )
    try:
        for step in BEFORE_REDIRECT_IS_VERIFIED:
            await step(ctx, draft)
    except OAuth2Error as error:
        raise UnverifiedError(error, draft.single("client_id"), draft.client) from error
    client, redirect_uri = draft.client, draft.given["redirect_uri"]
    assert client is not None
    verified = Verified(draft.given, draft.resources, draft.repeated, client, redirect_uri)
    try:
        for check_more in AFTER_REDIRECT_IS_VERIFIED:
            await check_more(ctx, verified)
    except OAuth2Error as error:
        raise RedirectedError(error, client, redirect_uri, verified.state) from error
    return client, AuthorizationRequest(
        client_id=client.client_id,
        redirect_uri=redirect_uri,
        code_challenge=verified.code_challenge,
        resource=verified.resource,
        scope=verified.scope,
        state=verified.state,
        prompts=verified.prompts,
    )


async def check_client(ctx: Context, draft: Draft) -> None:
    client_id = draft.single("client_id")
    if client_id is None or "client_id" in draft.repeated:
        raise InvalidRequestError(
            "The client did not say which client it is: client_id is missing or repeated."
        )
    draft.client = await ctx.clients.find(client_id)
    if draft.client is None:
        raise InvalidClientError(
            "This gateway does not know the client that sent you here; perhaps its registration has expired."
        )


async def check_redirect_uri(ctx: Context, draft: Draft) -> None:
    uri = draft.single("redirect_uri")
    if uri is None or "redirect_uri" in draft.repeated:
        raise InvalidRedirectURIError(
            "The client did not say where to return to: redirect_uri is missing or repeated."
        )
    redirects.check_registrable(uri, ctx.settings.redirect_schemes)
    if draft.client is None or not redirects.matches(draft.client.redirect_uris, uri):
        raise InvalidRedirectURIError(
            "The client asks to return to an address that it has not registered, so nothing is sent there."
        )


async def check_repeated(ctx: Context, request: Verified) -> None:
    if request.repeated:
        name = min(request.repeated)[:50]
        raise InvalidRequestError("Send each parameter once: {} is repeated.", quoted=name)


async def check_request_object(ctx: Context, request: Verified) -> None:
    if request.single("request") or request.single("request_uri"):
        raise RequestNotSupportedError("Send plain parameters; request objects are not read here.")


async def check_response_type(ctx: Context, request: Verified) -> None:
    response_type = request.single("response_type")
    if response_type is None:
        raise InvalidRequestError("The parameter response_type is missing; send code.")
    if response_type != "code":
        raise UnsupportedResponseTypeError("The only response_type is code.")
    if not request.client.allows_grant("authorization_code"):
        raise UnauthorizedClientError("This client is not registered for the authorization_code grant.")


async def check_response_mode(ctx: Context, request: Verified) -> None:
    if request.single("response_mode") not in (None, "query"):
        raise InvalidRequestError("The only response_mode is query.")


async def check_pkce(ctx: Context, request: Verified) -> None:
    challenge = request.single("code_challenge")
    if challenge is None:
        raise InvalidRequestError(
            "PKCE is required: send code_challenge and code_challenge_method=S256 (RFC 7636)."
        )
    if request.single("code_challenge_method") != "S256":
        raise InvalidRequestError("The only code_challenge_method is S256 (RFC 7636).")
    if not CHALLENGE.fullmatch(challenge):
        raise InvalidRequestError(
            "An S256 code_challenge has 43 characters of A-Z a-z 0-9 - _ (RFC 7636 4.2)."
        )
    request.code_challenge = challenge


async def check_resource(ctx: Context, request: Verified) -> None:
    request.resource = await target.new_resource(ctx, request.resources)


async def check_scope(ctx: Context, request: Verified) -> None:
    scope = request.single("scope")
    if scope is not None and not SCOPE.fullmatch(scope):
        raise InvalidScopeError("The scope must be words separated by spaces (RFC 6749 3.3).")
    request.scope = scopes.granted(scope)


async def check_prompt(ctx: Context, request: Verified) -> None:
    prompts = (request.single("prompt") or "").split()
    if not set(prompts) <= PROMPTS or ("none" in prompts and len(prompts) > 1):
        raise InvalidRequestError("prompt may be none alone, or any of login, consent, select_account.")
    request.prompts = tuple(prompts)


BEFORE_REDIRECT_IS_VERIFIED: tuple[Callable[[Context, Draft], Awaitable[None]], ...] = (
    check_client,
    check_redirect_uri,
)
AFTER_REDIRECT_IS_VERIFIED: tuple[Callable[[Context, Verified], Awaitable[None]], ...] = (
    check_repeated,
    check_request_object,
    check_response_type,
    check_response_mode,
    check_pkce,
    check_resource,
    check_scope,
    check_prompt,
)
