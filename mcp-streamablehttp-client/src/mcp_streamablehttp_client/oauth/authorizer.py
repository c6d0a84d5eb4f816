"""The tokens of one server through a process's life: loading, renewing, signing in, stepping up."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from ..credentials.records import Tokens
from ..credentials.store import Store
from ..errors import NotNowError, OAuthRefusedError, SignInError
from ..settings import Settings
from .challenge import Challenge

if TYPE_CHECKING:
    from .discovery import Discovery
    from .sign_in import SignIn
    from .web import Web

log = logging.getLogger(__name__)

REFRESH_LOCK_SECONDS = 90.0
SIGN_IN_LOCK_SECONDS = 660.0
_USELESS = frozenset({"invalid_grant", "invalid_client", "unauthorized_client"})
"""What ends a refresh token; every other answer is weather."""


def _nobody(_: str | None) -> None:
    """Nobody wants to know."""


class NoAuthorization:
    """Stands in for servers whose authorization the person brings in a header."""

    waits_at: str | None = None

    def __init__(self) -> None:
        self.on_wait: Callable[[str | None], None] = _nobody

    def forgive(self) -> None: ...

    def introduction(self) -> dict[str, Any] | None:
        return None

    def introduced(self, result: dict[str, Any]) -> None: ...

    async def token(self) -> str | None:
        return None

    def proof(self, token: str, method: str, url: str, nonce: str | None) -> str | None:
        return None

    async def unauthorized(self, token: str | None, challenge: Challenge) -> None:
        raise SignInError("The server refuses the Authorization header given by option.")

    async def insufficient_scope(self, token: str | None, challenge: Challenge) -> None:
        raise SignInError(
            "The Authorization header given by option does not allow this"
            + (f"; it needs the scope {challenge.scope!r}." if challenge.scope else ".")
        )


class Authorizer:
    """Implements transport.Authorization.

    One task at a time works on the tokens, and one process: whoever comes second finds the tokens
    of the first in the store, so no refresh token is spent twice and one browser window opens.
    """

    def __init__(self, settings: Settings, store: Store, *, outlives_host: bool = False) -> None:
        self._settings = settings
        self._outlives_host = outlives_host
        self._store = store
        self._working = asyncio.Lock()
        self._tokens: Tokens | None = None
        self._loaded = False
        self._refusal: SignInError | None = None
        self._signing_in: SignIn | None = None
        self._exchanges: Web | None = None
        self._ask: Callable[[], Awaitable[str]] | None = None
        self._by_person = False
        self._waits_at: str | None = None
        self.on_wait: Callable[[str | None], None] = _nobody

    async def token(self) -> str | None:
        if not self._loaded:
            self._loaded = True
            self._tokens = await asyncio.to_thread(self._stored)
        if self._tokens is not None and self._tokens.expires_soon:
            await self._renew_early(self._tokens)
        return self._tokens.access_token if self._tokens is not None else None

    def proof(self, token: str, method: str, url: str, nonce: str | None) -> str | None:
        tokens = self._tokens
        if tokens is None or tokens.access_token != token or not tokens.bound or tokens.dpop_key is None:
            return None
        from . import dpop

        return dpop.proof(tokens.dpop_key, method, url, access_token=token, nonce=nonce)

    async def unauthorized(self, token: str | None, challenge: Challenge) -> None:
        async with self._working:
            if self._has_other_than(token) or self._adopt_other_than(token):
                return
            from .discovery import discover

            discovery = await discover(self._web(), challenge)
            tokens = self._tokens
            same_issuer = tokens is not None and tokens.issuer == discovery.server.issuer
            if tokens is not None and same_issuer and tokens.refresh_token is not None:
                try:
                    await self._refresh(tokens)
                    return
                except OAuthRefusedError as refusal:
                    self._forget(tokens, refusal)
            elif tokens is not None and not same_issuer and not discovery.announced:
                raise NotNowError(
                    f"The metadata of {self._settings.server_url} that names its authorization server "
                    "cannot be read; try again later."
                )
            await self._sign_in(token, discovery, self._first_scope(challenge, discovery))

    async def insufficient_scope(self, token: str | None, challenge: Challenge) -> None:
        async with self._working:
            if self._has_other_than(token) or self._adopt_other_than(token):
                return
            asked = _scopes(self._tokens.requested_scope if self._tokens is not None else None)
            granted = _scopes(self._tokens.scope if self._tokens is not None else None)
            needed = _scopes(challenge.scope)
            if set(needed) <= set(asked):
                raise SignInError(
                    f"The server demands the scope {challenge.scope!r}, which was asked for but "
                    "not granted; the account signed in may not have it."
                )
            from .discovery import discover

            discovery = await discover(self._web(), challenge)
            await self._sign_in(token, discovery, (*asked, *granted, *needed))

    @property
    def waits_at(self) -> str | None:
        return self._waits_at

    def _waits(self, address: str | None) -> None:
        self._waits_at = address
        self.on_wait(address)

    def introduction(self) -> dict[str, Any] | None:
        try:
            value = json.loads(self._store.noted("introduction", self._settings.server_url) or "null")
        except ValueError:
            return None
        return value if isinstance(value, dict) else None

    def introduced(self, result: dict[str, Any]) -> None:
        if self._tokens is not None and result != self.introduction():
            self._store.note("introduction", self._settings.server_url, json.dumps(result))

    def forgive(self) -> None:
        """Before a sign-in that the person asks for: an earlier one that failed does not count, nor
        do windows."""
        self._refusal = None
        self._by_person = True

    async def sign_in_again(
        self, challenge: Challenge, ask: Callable[[], Awaitable[str]] | None = None
    ) -> Tokens:
        """For the login command: a new sign-in whatever is stored; for `ask` see SignIn."""
        self.forgive()
        self._ask = ask
        from .discovery import discover

        async with self._working:
            stored = self._stored()
            discovery = await discover(self._web(), challenge)
            token = stored.access_token if stored is not None else None
            return await self._sign_in(token, discovery, self._first_scope(challenge, discovery))

    def _first_scope(self, challenge: Challenge, discovery: Discovery) -> tuple[str, ...]:
        return _scopes(self._settings.scope or challenge.scope) or discovery.scopes

    async def _renew_early(self, tokens: Tokens) -> None:
        """Before the server refuses the token. While it still works, failing to is no problem."""
        async with self._working:
            if self._tokens is not tokens:
                return
            if tokens.refresh_token is None:
                if tokens.expired:
                    self._tokens = self._stored()
                return
            try:
                await self._refresh(tokens)
            except OAuthRefusedError as refusal:
                self._forget(tokens, refusal)
            except SignInError as problem:
                if tokens.expired:
                    raise
                log.info("the token could not be renewed yet: %s", problem)

    async def _refresh(self, tokens: Tokens) -> None:
        """Spend the refresh token, unless another process just did."""
        from . import token_endpoint

        key = tokens.issuer, tokens.resource
        async with self._store.locked("refresh", *key, seconds=REFRESH_LOCK_SECONDS):
            stored = self._store.tokens(*key)
            if stored is not None and stored.access_token != tokens.access_token:
                log.debug("another process has renewed the token")
                self._tokens = stored
                if not stored.expires_soon:
                    return
                tokens = stored
            self._tokens = await token_endpoint.refresh(self._web(), tokens)
            self._store.save_tokens(self._tokens)
            log.debug("the token was renewed")

    async def _sign_in(self, token: str | None, discovery: Discovery, wanted: tuple[str, ...]) -> Tokens:
        if self._refusal is not None:
            raise self._refusal
        if (
            self._outlives_host
            and not self._settings.without_person
            and await self._helped(token, discovery, wanted)
        ):
            assert self._tokens is not None
            return self._tokens
        if self._signing_in is None:
            from .sign_in import SignIn

            self._signing_in = SignIn(self._web(), self._store, self._ask, self._waits)
        url = self._settings.server_url
        async with self._store.locked("sign-in", url, seconds=SIGN_IN_LOCK_SECONDS):
            if self._adopt_other_than(token) and self._tokens is not None:
                return self._tokens
            if wanted and "offline_access" in discovery.server.scopes:
                wanted = (*wanted, "offline_access")
            scope = " ".join(dict.fromkeys(wanted)) or None
            previous = self._store.server(url)
            by_person, self._by_person = self._by_person, False
            try:
                self._tokens = await self._signing_in.tokens(discovery, scope, by_person=by_person)
            except NotNowError:
                raise
            except SignInError as failure:
                self._refusal = SignInError(f"{failure} To try again: mcp-streamablehttp-client login {url}")
                raise self._refusal from failure
            if previous is not None and previous.issuer != discovery.server.issuer:
                self._store.delete_tokens(previous.issuer, previous.resource)
            return self._tokens

    def _web(self) -> Web:
        from .web import Web

        if self._exchanges is None:
            self._exchanges = Web(self._settings)
        return self._exchanges

    async def sign_in_for(self, token: str | None, discovery: Discovery, wanted: tuple[str, ...]) -> Tokens:
        """For the helper: sign in for these scopes, unless somebody else just did."""
        async with self._working:
            return await self._sign_in(token, discovery, wanted)

    async def _helped(self, token: str | None, discovery: Discovery, wanted: tuple[str, ...]) -> bool:
        """Whether a helper signed in; False when there can be none, raises SignInError when it failed."""
        from . import helper

        by_person, self._by_person = self._by_person, False
        try:
            await helper.sign_in(
                self._settings, self._store, token, discovery, wanted, by_person, self._waits
            )
        except OSError as problem:
            log.info("the sign-in happens in this process: %s", problem.strerror)
            self._by_person = by_person
            return False
        except NotNowError:
            raise
        except SignInError as failure:
            self._refusal = failure
            raise
        if not self._adopt_other_than(token):
            raise SignInError("The sign-in ended without tokens; see the log of this server.")
        return True

    def _has_other_than(self, token: str | None) -> bool:
        return self._tokens is not None and self._tokens.access_token != token

    def _adopt_other_than(self, token: str | None) -> bool:
        """Take what another process stored meanwhile."""
        stored = self._stored()
        if stored is None or stored.access_token == token or stored.expired:
            return False
        self._tokens = stored
        self._refusal = None
        return True

    def _stored(self) -> Tokens | None:
        server = self._store.server(self._settings.server_url)
        return self._store.tokens(server.issuer, server.resource) if server is not None else None

    def _forget(self, tokens: Tokens, refusal: OAuthRefusedError) -> None:
        """Delete what the authorization server itself calls useless; raises SignInError when it
        says something else (RFC 6749 section 5.2)."""
        if refusal.error not in _USELESS:
            again = f"To sign in anew: mcp-streamablehttp-client login {self._settings.server_url}"
            raise SignInError(f"{refusal} {again}")
        log.info("%s", refusal)
        self._tokens = None
        self._store.delete_tokens(tokens.issuer, tokens.resource)
        if refusal.error == "invalid_client":
            self._store.delete_client(tokens.issuer)


def _scopes(text: str | None) -> tuple[str, ...]:
    return tuple((text or "").split())
