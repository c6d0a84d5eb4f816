"""HTTP exchanges with one MCP endpoint, authorized: the token, 401, 403 and redirects."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Protocol

from . import USER_AGENT
from .errors import ClientError, SignInError
from .http1 import Headers, HttpClient, Response, Target
from .http1.content_coding import ACCEPT_ENCODING
from .http1.cookies import Cookies
from .oauth.challenge import Challenge, bearer_challenge
from .retry_after import retry_after
from .settings import Settings

log = logging.getLogger(__name__)

MAX_REDIRECTS = 3
MAX_SIGN_INS = 2
"""How often one message may lead to a new token after 401, and to more scopes after 403."""
MAX_WAITS = 3
LONGEST_WAIT = 30.0
"""Seconds that `Retry-After` may ask for; whoever wants more gets no second request."""


class Authorization(Protocol):
    """Where tokens come from; see oauth.authorizer."""

    async def token(self) -> str | None:
        """The token to send, renewed when about to expire; None while there is none."""

    def proof(self, token: str, method: str, url: str, nonce: str | None) -> str | None:
        """The DPoP proof for one request with this token; None where it is a bearer token."""

    async def unauthorized(self, token: str | None, challenge: Challenge) -> None:
        """After 401: have another token, or raise SignInError."""

    async def insufficient_scope(self, token: str | None, challenge: Challenge) -> None:
        """After 403: have a token of more scope, or raise SignInError."""

    @property
    def waits_at(self) -> str | None:
        """The address that a person has to open now; None while no sign-in waits."""

    on_wait: Callable[[str | None], None]
    """Called when `waits_at` changes."""

    def forgive(self) -> None:
        """Before a sign-in that the person asks for: forget earlier failures."""

    def introduction(self) -> dict[str, Any] | None:
        """How the server introduced itself in an earlier connection."""

    def introduced(self, result: dict[str, Any]) -> None:
        """Keep how the server introduces itself, for the next time it cannot."""


class Transport:
    def __init__(self, settings: Settings, authorization: Authorization) -> None:
        self.settings = settings
        self._authorization = authorization
        own = {name.lower() for name, _ in settings.headers}
        usual = [("User-Agent", USER_AGENT), ("Accept-Encoding", ACCEPT_ENCODING)]
        self._fields = [*settings.headers, *(field for field in usual if field[0].lower() not in own)]
        self._target = Target(settings.server_url)
        self._http = HttpClient(settings.timeout, settings.trust)
        self._cookies = Cookies()
        self._nonce: str | None = None

    @property
    def authorization(self) -> Authorization:
        return self._authorization

    @property
    def authority(self) -> str:
        return self._target.authority

    async def request(
        self,
        method: str,
        headers: Headers,
        body: bytes = b"",
        *,
        target: Target | None = None,
        repeatable: bool = False,
        sent: asyncio.Event | None = None,
    ) -> Response:
        """One exchange; raises ClientError when no answer or no authorization can be had.

        Sent again only after the server's own refusal: 401 and 403 with a new token, 401 with a nonce
        for its proof (RFC 9449 section 9), 429 and 503 when it says how long to wait, 307 and 308.
        `target` is another address of the server; for `repeatable` and `sent` see HttpClient.
        """
        refusals = step_ups = redirects = waits = nonces = 0
        target = target or self._target
        while True:
            token = await self._authorization.token()
            fields = [*self._fields, *headers, *self._cookies.header()]
            proof, nonce = None, self._nonce
            if token is not None:
                proof = self._authorization.proof(token, method, target.url, nonce)
                scheme = "Bearer" if proof is None else "DPoP"
                fields.append(("Authorization", f"{scheme} {token}"))
                if proof is not None:
                    fields.append(("DPoP", proof))
            response = await self._http.request(
                method, target, fields, body, repeatable=repeatable, sent=sent
            )
            self._cookies.take(response.cookies)
            log.debug("%s %s", method, response.status)
            demanded = response.headers.get("dpop-nonce")
            self._nonce = demanded or self._nonce
            if response.status == 401 and proof and demanded not in (None, nonce) and not nonces:
                nonces += 1
                await response.discard()
            elif response.status == 401 and refusals < MAX_SIGN_INS:
                refusals += 1
                await response.discard()
                await self._authorization.unauthorized(token, bearer_challenge(response.challenges))
            elif response.status == 401:
                await response.discard()
                raise SignInError(
                    f"{self.authority} refuses the token that its own authorization server just "
                    "issued; the server's operator has to look into it."
                )
            elif (
                response.status == 403
                and (challenge := bearer_challenge(response.challenges)).error == "insufficient_scope"
                and step_ups < MAX_SIGN_INS
            ):
                step_ups += 1
                await response.discard()
                await self._authorization.insufficient_scope(token, challenge)
            elif (
                response.status in (307, 308)
                and redirects < MAX_REDIRECTS
                and (location := response.headers.get("location"))
            ):
                redirects += 1
                await response.discard()
                target = self._redirected(target, location)
            elif (
                response.status in (429, 503)
                and waits < MAX_WAITS
                and (pause := retry_after(response.headers.get("retry-after"))) is not None
                and pause <= LONGEST_WAIT
            ):
                waits += 1
                await response.discard()
                log.info("%s asks to wait %g s (%s)", self.authority, pause, response.status)
                await asyncio.sleep(pause)
            else:
                return response

    async def close(self) -> None:
        self._http.close()

    def _redirected(self, target: Target, location: str) -> Target:
        from urllib.parse import urljoin

        moved = Target(urljoin(target.url, location))
        if moved.origin != target.origin:
            raise ClientError(
                f"{target.authority} redirects to another host ({moved.authority}), where the "
                "credentials must not go; use that address as the server URL if you trust it."
            )
        return moved
