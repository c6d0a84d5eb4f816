"""One interactive sign-in, from metadata to tokens."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from ..credentials.records import Client, Server, Tokens
from ..credentials.store import Store
from ..errors import NotNowError, OAuthRefusedError, SignInError
from ..terminal import say
from . import browser, device, dpop, enterprise, token_endpoint, windows
from .authorization_code import AuthorizationRequest
from .discovery import AuthorizationServer, Discovery
from .loopback import Listener, listening
from .registration import configured_client, register
from .web import Web

log = logging.getLogger(__name__)

SIGN_IN_SECONDS = 300.0
CODE_SECONDS = 600.0
"""Longest life of a code (RFC 6749 section 4.1.2)."""
REDEEM_PAUSES = (1.0, 2.0, 5.0, 10.0)
"""Seconds between attempts to exchange a code, unless the server asks for others,"""
LONGEST_WAIT = 20.0
"""and the most it may ask for: codes often live for a minute only."""


@dataclass(frozen=True)
class _Code:
    """A person's consent, not yet exchanged for tokens."""

    value: str
    request: AuthorizationRequest
    client: Client
    received: float

    @property
    def expired(self) -> bool:
        return time.monotonic() - self.received > CODE_SECONDS


class SignIn:
    """Sign-ins of one server. A code that could not be exchanged is kept for the next call: the
    person has done their part.

    `tell` is called with the address that a person has to open, and with None when that is over.
    `ask` reads the address that a browser ended at, where a person can be asked; never from the
    protocol's stdin.
    """

    def __init__(
        self,
        web: Web,
        store: Store,
        ask: Callable[[], Awaitable[str]] | None,
        tell: Callable[[str | None], None],
    ) -> None:
        self._web = web
        self._settings = web.settings
        self._store = store
        self._ask = ask
        self._tell = tell
        self._code: _Code | None = None

    async def tokens(self, discovery: Discovery, scope: str | None, *, by_person: bool = False) -> Tokens:
        """Raises SignInError. A registration that the issuer has forgotten is made again once;
        windows that open by themselves are counted, those `by_person` are not."""
        if self._settings.without_person:
            return self._kept(await self._without_person(discovery, scope))
        try:
            return await self._attempt(discovery, scope, by_person)
        except OAuthRefusedError as refusal:
            forgotten = refusal.error in ("invalid_client", "unauthorized_client")
            if not forgotten or not self._store.delete_client(discovery.server.issuer):
                raise
        return await self._attempt(discovery, scope, by_person)

    async def _without_person(self, discovery: Discovery, scope: str | None) -> Tokens:
        client = configured_client(self._settings, discovery.server)
        if client is None:
            raise SignInError("A sign-in without a person needs --client-id.")
        blank = self._blank(discovery, client, scope)
        if (company := self._settings.enterprise) is not None:
            return await enterprise.tokens(self._web, company, client, blank)
        return await token_endpoint.client_credentials(self._web, blank, client)

    async def _attempt(self, discovery: Discovery, scope: str | None, by_person: bool) -> Tokens:
        kept, self._code = self._code, None
        if kept is not None and not kept.expired and kept.request.server == discovery.server:
            try:
                return await self._redeemed(kept)
            except OAuthRefusedError as refusal:
                log.info("%s", refusal)
        async with self._client(discovery, scope, by_person) as (client, listener):
            if discovery.server.device_authorization_endpoint is not None and not browser.can_open():
                blank = self._blank(discovery, client, scope)
                try:
                    return self._kept(
                        await device.tokens(self._web, discovery.server, client, blank, self._tell)
                    )
                finally:
                    self._tell(None)
            request = AuthorizationRequest(
                discovery.server, client.client_id, listener.redirect_uri, discovery.resource, scope
            )
            if not by_person:
                windows.spend(self._store, self._settings.server_url)
            try:
                self._tell(request.url)
                browser.show(request.url)
                code = request.code(await self._answer(listener, request, client))
            finally:
                self._tell(None)
        return await self._redeemed(_Code(code, request, client, time.monotonic()))

    async def _answer(
        self, listener: Listener, request: AuthorizationRequest, client: Client
    ) -> dict[str, str]:
        """What came back to the listener, or was pasted."""
        listening = asyncio.create_task(listener.answer(request.state, SIGN_IN_SECONDS))
        asking = asyncio.create_task(pasted(self._ask, request.state)) if self._ask is not None else None
        try:
            await asyncio.wait(
                {listening, *([asking] if asking else [])}, return_when=asyncio.FIRST_COMPLETED
            )
            return asking.result() if asking is not None and asking.done() else await listening
        except SignInError:
            if client.redirect_uri is not None:
                # perhaps the server showed a page because it does not know this client any more
                self._store.delete_client(client.issuer)
            raise
        finally:
            listening.cancel()
            if asking is not None:
                asking.cancel()

    async def _knows(self, server: AuthorizationServer, client: Client) -> bool:
        return await token_endpoint.knows(self._web, server.token_endpoint, client)

    def _blank(self, discovery: Discovery, client: Client, scope: str | None) -> Tokens:
        """Tokens to be."""
        return Tokens(
            issuer=discovery.server.issuer,
            resource=discovery.resource,
            token_endpoint=discovery.server.token_endpoint,
            client_id=client.client_id,
            access_token="",
            requested_scope=scope,
            dpop_key=dpop.new_key() if discovery.server.binds_tokens else None,
        )

    def _kept(self, tokens: Tokens) -> Tokens:
        self._store.save_tokens(tokens)
        self._store.save_server(Server(self._settings.server_url, tokens.resource, tokens.issuer))
        log.info("signed in at %s", tokens.issuer)
        return tokens

    async def _redeemed(self, code: _Code) -> Tokens:
        """Exchange a code, patiently; raises NotNowError when the weather lasts, and keeps it then."""
        request = code.request
        blank = Tokens(
            issuer=request.server.issuer,
            resource=request.resource,
            token_endpoint=request.server.token_endpoint,
            client_id=code.client.client_id,
            access_token="",
            requested_scope=request.scope,
            dpop_key=dpop.new_key() if request.server.binds_tokens else None,
        )
        for pause in (*REDEEM_PAUSES, None):
            try:
                tokens = await token_endpoint.redeem(
                    self._web, blank, code.client, code.value, request.verifier, request.redirect_uri
                )
                break
            except NotNowError as weather:
                wait = weather.retry_after if weather.retry_after is not None else pause
                if pause is None or wait is None or wait > LONGEST_WAIT:
                    self._code = code
                    raise
                log.info("%s", weather)
                await asyncio.sleep(wait)
        return self._kept(tokens)

    @asynccontextmanager
    async def _client(
        self, discovery: Discovery, scope: str | None, by_person: bool
    ) -> AsyncIterator[tuple[Client, Listener]]:
        """The client to use and the listener its redirect goes to.

        A registration is used again when its very port is free: not every authorization server
        lets the port of a loopback redirect vary.
        """
        port = self._settings.callback_port
        server = discovery.server
        if (client := configured_client(self._settings, server)) is not None:
            async with listening(port) as listener:
                yield client, listener
            return
        client = self._store.client(server.issuer)
        proven = not by_person and self._store.tokens(server.issuer, discovery.resource) is not None
        if client is not None and not proven and not await self._knows(server, client):
            log.info("%s does not know this client any more; registering again", server.issuer)
            self._store.delete_client(server.issuer)
            client = None
        if client is not None and client.redirect_uri is not None and not client.expired:
            registered = urlsplit(client.redirect_uri).port or 0
            if port in (0, registered):
                try:
                    taken = listening(registered)
                    listener = await taken.__aenter__()
                except SignInError:
                    pass
                else:
                    try:
                        yield client, listener
                    finally:
                        await taken.__aexit__(None, None, None)
                    return
        async with listening(port) as listener:
            client = await register(self._web, server, listener.redirect_uri, scope)
            self._store.save_client(client)
            yield client, listener


async def pasted(ask: Callable[[], Awaitable[str]], state: str) -> dict[str, str]:
    """The parameters of an address that a person copied from a browser; asks until one is right."""
    while True:
        query = parse_qs(urlsplit((await ask()).strip()).query)
        answer = {name: values[0] for name, values in query.items()}
        if hmac.compare_digest(answer.get("state", "").encode(), state.encode()):
            return answer
        say("That is not the address this sign-in ends at; it begins with http://127.0.0.1:", err=True)
