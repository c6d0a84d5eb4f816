"""The tokens of one server through a process's life: loading, renewing, signing in, stepping up."""

import asyncio
import logging
from typing import TYPE_CHECKING

from ..credentials.records import Tokens
from ..credentials.store import Store
from ..errors import OAuthRefused, SignInFailed
from ..settings import Settings
from .challenge import Challenge

if TYPE_CHECKING:
    from .discovery import Discovery

log = logging.getLogger(__name__)

REFRESH_LOCK_SECONDS = 90.0
SIGN_IN_LOCK_SECONDS = 660.0


class NoAuthorization:
    """For servers whose authorization the person brings in a header."""

    async def token(self) -> str | None:
        return None

    async def unauthorized(self, token: str | None, challenge: Challenge) -> None:
        raise SignInFailed("The server refuses the Authorization header given by option.")

    async def insufficient_scope(self, token: str | None, challenge: Challenge) -> None:
        raise SignInFailed(
            "The Authorization header given by option does not allow this"
            + (f"; it needs the scope {challenge.scope!r}." if challenge.scope else ".")
        )


class Authorizer:
    """Implements transport.Authorization.

    One task at a time works on the tokens, and one process: whoever comes second finds the tokens
    of the first in the store, so no refresh token is spent twice and one browser window opens.
    """

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store
        self._working = asyncio.Lock()
        self._tokens: Tokens | None = None
        self._loaded = False
        self._refusal: SignInFailed | None = None

    async def token(self) -> str | None:
        if not self._loaded:
            self._loaded = True
            self._tokens = self._stored()
        if self._tokens is not None and self._tokens.expires_soon:
            await self._renew_early(self._tokens)
        return self._tokens.access_token if self._tokens is not None else None

    async def unauthorized(self, token: str | None, challenge: Challenge) -> None:
        async with self._working:
            if self._has_other_than(token) or self._adopt_other_than(token):
                return
            from .discovery import discover

            discovery = await discover(self._settings.server_url, challenge)
            tokens = self._tokens
            same_issuer = tokens is not None and tokens.issuer == discovery.server.issuer
            if tokens is not None and same_issuer and tokens.refresh_token is not None:
                try:
                    await self._refresh(tokens)
                    return
                except OAuthRefused as refusal:
                    self._forget(tokens, refusal)
            await self._sign_in(token, discovery, self._first_scope(challenge, discovery))

    async def insufficient_scope(self, token: str | None, challenge: Challenge) -> None:
        async with self._working:
            if self._has_other_than(token) or self._adopt_other_than(token):
                return
            asked = _scopes(self._tokens.requested_scope if self._tokens is not None else None)
            granted = _scopes(self._tokens.scope if self._tokens is not None else None)
            needed = _scopes(challenge.scope)
            if set(needed) <= set(asked):
                raise SignInFailed(
                    f"The server demands the scope {challenge.scope!r}, which was asked for but "
                    "not granted; the account signed in may not have it."
                )
            from .discovery import discover

            discovery = await discover(self._settings.server_url, challenge)
            await self._sign_in(token, discovery, (*asked, *granted, *needed))

    async def sign_in_again(self, challenge: Challenge) -> Tokens:
        """For the login command: a new sign-in whatever is stored."""
        from .discovery import discover

        async with self._working:
            stored = self._stored()
            discovery = await discover(self._settings.server_url, challenge)
            token = stored.access_token if stored is not None else None
            return await self._sign_in(token, discovery, self._first_scope(challenge, discovery))

    def _first_scope(self, challenge: Challenge, discovery: "Discovery") -> tuple[str, ...]:
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
            except OAuthRefused as refusal:
                self._forget(tokens, refusal)
            except SignInFailed as problem:
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
            self._tokens = await token_endpoint.refresh(tokens)
            self._store.save_tokens(self._tokens)
            log.debug("the token was renewed")

    async def _sign_in(self, token: str | None, discovery: "Discovery", wanted: tuple[str, ...]) -> Tokens:
        if self._refusal is not None:
            raise self._refusal
        from .sign_in import SignIn

        url = self._settings.server_url
        async with self._store.locked("sign-in", url, seconds=SIGN_IN_LOCK_SECONDS):
            if self._adopt_other_than(token) and self._tokens is not None:
                return self._tokens
            if wanted and "offline_access" in discovery.server.scopes:
                wanted = (*wanted, "offline_access")
            scope = " ".join(dict.fromkeys(wanted)) or None
            previous = self._store.server(url)
            try:
                self._tokens = await SignIn(self._settings, self._store).tokens(discovery, scope)
            except SignInFailed as failure:
                self._refusal = SignInFailed(f"{failure} To try again: mcp-streamablehttp-client login {url}")
                raise self._refusal from None
            if previous is not None and previous.issuer != discovery.server.issuer:
                self._store.delete_tokens(previous.issuer, previous.resource)
            return self._tokens

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

    def _forget(self, tokens: Tokens, refusal: OAuthRefused) -> None:
        log.info("%s", refusal)
        self._tokens = None
        self._store.delete_tokens(tokens.issuer, tokens.resource)
        if refusal.error == "invalid_client":
            self._store.delete_client(tokens.issuer)


def _scopes(text: str | None) -> tuple[str, ...]:
    return tuple((text or "").split())
