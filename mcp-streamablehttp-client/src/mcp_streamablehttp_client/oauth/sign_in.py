"""One interactive sign-in, from metadata to tokens."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from ..credentials.records import Client, Server, Tokens
from ..credentials.store import Store
from ..errors import OAuthRefused, SignInFailed
from ..settings import Settings
from . import browser, token_endpoint
from .authorization_code import AuthorizationRequest
from .discovery import Discovery
from .loopback import Listener, listening
from .registration import configured_client, register

log = logging.getLogger(__name__)

SIGN_IN_SECONDS = 300.0


class SignIn:
    def __init__(self, settings: Settings, store: Store, show: Callable[[str], None] = browser.show) -> None:
        self._settings = settings
        self._store = store
        self._show = show

    async def tokens(self, discovery: Discovery, scope: str | None) -> Tokens:
        """Raises SignInFailed. A registration that the issuer has forgotten is made again once."""
        try:
            return await self._attempt(discovery, scope)
        except OAuthRefused as refusal:
            forgotten = refusal.error in ("invalid_client", "unauthorized_client")
            if not forgotten or not self._store.delete_client(discovery.server.issuer):
                raise
        return await self._attempt(discovery, scope)

    async def _attempt(self, discovery: Discovery, scope: str | None) -> Tokens:
        server = discovery.server
        async with self._client(discovery, scope) as (client, listener):
            request = AuthorizationRequest(
                server, client.client_id, listener.redirect_uri, discovery.resource, scope
            )
            self._show(request.url)
            code = request.code(await listener.answer(request.state, SIGN_IN_SECONDS))
        blank = Tokens(
            issuer=server.issuer,
            resource=discovery.resource,
            token_endpoint=server.token_endpoint,
            client_id=client.client_id,
            access_token="",
            requested_scope=scope,
        )
        tokens = await token_endpoint.redeem(blank, client, code, request.verifier, request.redirect_uri)
        self._store.save_tokens(tokens)
        self._store.save_server(Server(self._settings.server_url, discovery.resource, server.issuer))
        log.info("signed in at %s", server.issuer)
        return tokens

    @asynccontextmanager
    async def _client(
        self, discovery: Discovery, scope: str | None
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
        if client is not None and client.redirect_uri is not None and not client.expired:
            registered = urlsplit(client.redirect_uri).port or 0
            if port in (0, registered):
                try:
                    taken = listening(registered)
                    listener = await taken.__aenter__()
                except SignInFailed:
                    pass
                else:
                    try:
                        yield client, listener
                    finally:
                        await taken.__aexit__(None, None, None)
                    return
        async with listening(port) as listener:
            client = await register(server, listener.redirect_uri, scope)
            self._store.save_client(client)
            yield client, listener
