"""HTTP exchanges with one MCP endpoint, authorized: the token, 401, 403 and redirects."""

import asyncio
import logging
from typing import Protocol

from .errors import ClientError, SignInFailed
from .http1 import Headers, HttpClient, Response, Target
from .oauth.challenge import Challenge, bearer_challenge
from .settings import Settings

log = logging.getLogger(__name__)

MAX_REDIRECTS = 3
MAX_SIGN_INS = 2
"""How often one message may lead to a new token after 401, and to more scopes after 403."""


class Authorization(Protocol):
    """Where tokens come from; see oauth.authorizer."""

    async def token(self) -> str | None:
        """The token to send, renewed when about to expire; None while there is none."""

    async def unauthorized(self, token: str | None, challenge: Challenge) -> None:
        """After 401: have another token, or raise SignInFailed."""

    async def insufficient_scope(self, token: str | None, challenge: Challenge) -> None:
        """After 403: have a token of more scope, or raise SignInFailed."""


class Transport:
    def __init__(self, settings: Settings, authorization: Authorization) -> None:
        self.settings = settings
        self._authorization = authorization
        self._target = Target(settings.server_url)
        self._http = HttpClient(settings.timeout)

    @property
    def authority(self) -> str:
        return self._target.authority

    async def request(
        self, method: str, headers: Headers, body: bytes = b"", *, sent: asyncio.Event | None = None
    ) -> Response:
        """One exchange; raises ClientError when no answer or no authorization can be had.
        `sent` is set once the request is on its way."""
        refusals = step_ups = redirects = 0
        target = self._target
        while True:
            token = await self._authorization.token()
            fields = [*self.settings.headers, *headers]
            if token is not None:
                fields.append(("Authorization", f"Bearer {token}"))
            response = await self._http.request(method, target, fields, body, sent=sent)
            log.debug("%s %s", method, response.status)
            if response.status == 401 and refusals < MAX_SIGN_INS:
                refusals += 1
                await response.discard()
                await self._authorization.unauthorized(token, bearer_challenge(response.challenges))
            elif response.status == 401:
                await response.discard()
                raise SignInFailed(
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
            elif response.status in (307, 308) and redirects < MAX_REDIRECTS:
                redirects += 1
                await response.discard()
                target = self._redirected(target, response.headers.get("location", ""))
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
