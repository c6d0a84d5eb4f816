"""What an authorization request must satisfy, one small step each (RFC 6749 section 4.1.1, OAuth 2.1).

Until client and redirect URI are verified a fault is shown to the person; afterwards the client is told.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from authlib.oauth2.base import OAuth2Error as AuthlibError

from ..clients import redirects
from ..context import Context
from ..errors import (
    InvalidClientError,
    InvalidRedirectURIError,
    InvalidRequestError,
    InvalidScopeError,
    InvalidTargetError,
    OAuth2Error,
    UnauthorizedClientError,
    UnsupportedResponseTypeError,
)
from ..grants import target
from ..records import Client
from .request import AuthorizationRequest, RedirectedError

CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+(?: +[\x21\x23-\x5b\x5d-\x7e]+)*")
PROMPTS = {"none", "login", "consent", "select_account"}


class RequestNotSupportedError(OAuth2Error):
    """Request objects are not read here (OpenID Connect Core section 3.1.2.6)."""

    error = "request_not_supported"


@dataclass(slots=True)
class Draft:
    """The request while it is being checked."""

    given: dict[str, str]
    resources: list[str]
    repeated: set[str]
    client: Client | None = None
    code_challenge: str = ""
    resource: str | None = None
    scope: str = ""
    prompts: tuple[str, ...] = ()
    state: str | None = field(init=False)

    def __post_init__(self) -> None:
        self.state = None if "state" in self.repeated else self.given.get("state")

    def single(self, name: str) -> str | None:
        return self.given.get(name) or None


Step = Callable[[Context, Draft], Awaitable[None]]


async def check(ctx: Context, parameters: Sequence[tuple[str, str]]) -> tuple[Client, AuthorizationRequest]:
    """OAuth2Error before, RedirectedError after client and redirect URI are known to be good."""
    counts = Counter(name for name, _ in parameters if name != "resource")
    draft = Draft(
        given=dict(parameters),
        resources=[value for name, value in parameters if name == "resource" and value],
        repeated={name for name, count in counts.items() if count > 1},
    )
    for step in BEFORE_REDIRECT_IS_VERIFIED:
        await step(ctx, draft)
    client, redirect_uri = draft.client, draft.given["redirect_uri"]
    if client is None:
        raise InvalidClientError
    try:
        for step in AFTER_REDIRECT_IS_VERIFIED:
            await step(ctx, draft)
    except AuthlibError as error:
        raise RedirectedError(error, redirect_uri, draft.state) from None
    return client, AuthorizationRequest(
        client_id=client.client_id,
        redirect_uri=redirect_uri,
        code_challenge=draft.code_challenge,
        resource=draft.resource,
        scope=draft.scope,
        state=draft.state,
        prompts=draft.prompts,
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
            " Remove the connection in your client and add it again: it then registers anew."
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


async def check_repeated(ctx: Context, draft: Draft) -> None:
    if draft.repeated:
        raise InvalidRequestError(f"Send each parameter once: {min(draft.repeated)[:50]} is repeated.")


async def check_request_object(ctx: Context, draft: Draft) -> None:
    if draft.single("request") or draft.single("request_uri"):
        raise RequestNotSupportedError("Send plain parameters; request objects are not read here.")


async def check_response_type(ctx: Context, draft: Draft) -> None:
    response_type = draft.single("response_type")
    if response_type is None:
        raise InvalidRequestError("The parameter response_type is missing; send code.")
    if response_type != "code":
        raise UnsupportedResponseTypeError(response_type, "The only response_type is code.")
    if draft.client is None or not draft.client.allows_grant("authorization_code"):
        raise UnauthorizedClientError("This client is not registered for the authorization_code grant.")


async def check_response_mode(ctx: Context, draft: Draft) -> None:
    if draft.single("response_mode") not in (None, "query"):
        raise InvalidRequestError("The only response_mode is query.")


async def check_pkce(ctx: Context, draft: Draft) -> None:
    challenge = draft.single("code_challenge")
    if challenge is None:
        raise InvalidRequestError(
            "PKCE is required: send code_challenge and code_challenge_method=S256 (RFC 7636)."
        )
    if draft.single("code_challenge_method") != "S256":
        raise InvalidRequestError("The only code_challenge_method is S256 (RFC 7636).")
    if not CHALLENGE.fullmatch(challenge):
        raise InvalidRequestError(
            "An S256 code_challenge has 43 characters of A-Z a-z 0-9 - _ (RFC 7636 4.2)."
        )
    draft.code_challenge = challenge


async def check_resource(ctx: Context, draft: Draft) -> None:
    named = {ctx.resources.canonical(url) for url in draft.resources}
    if None in named:
        raise InvalidTargetError("The resource is not a server of this gateway.")
    if len(named) > 1:
        raise InvalidTargetError("A token opens one server: send one resource.")
    if not named and ctx.settings.require_resource:
        raise InvalidTargetError("Name the server with the resource parameter (RFC 8707).")
    draft.resource = next(iter(named), None)


async def check_scope(ctx: Context, draft: Draft) -> None:
    scope = draft.single("scope")
    if scope is not None and not SCOPE.fullmatch(scope):
        raise InvalidScopeError("The scope must be words separated by spaces (RFC 6749 3.3).")
    draft.scope = target.new_scope(scope)


async def check_prompt(ctx: Context, draft: Draft) -> None:
    prompts = (draft.single("prompt") or "").split()
    if not set(prompts) <= PROMPTS or ("none" in prompts and len(prompts) > 1):
        raise InvalidRequestError("prompt may be none alone, or any of login, consent, select_account.")
    draft.prompts = tuple(prompts)


BEFORE_REDIRECT_IS_VERIFIED: tuple[Step, ...] = (check_client, check_redirect_uri)
AFTER_REDIRECT_IS_VERIFIED: tuple[Step, ...] = (
    check_repeated,
    check_request_object,
    check_response_type,
    check_response_mode,
    check_pkce,
    check_resource,
    check_scope,
    check_prompt,
)
