"""Sign-in with GitHub: github.com, or a GitHub Enterprise Server by its base URL."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from ..errors import ServerError
from ..records import Identity
from ..settings import Settings
from .base import SignedIn, StillVouched, UpstreamRequest, authorization_code
from .github_api import GitHubApi
from .upstream import authorization_url, exchange_code


class GitHub:
    name = "github"
    label = "GitHub"

    def __init__(self, settings: Settings, http: httpx.AsyncClient) -> None:
        self._api = GitHubApi(settings, http)

    async def begin(self, request: UpstreamRequest) -> str:
        scope = "read:user user:email" + (" read:org" if self._api.by_organisation else "")
        extra = {"prompt": "select_account"} if request.prompt else {}
        endpoint = f"{self._api.base}/login/oauth/authorize"
        return authorization_url(endpoint, self._api.client_id, scope, request, **extra)

    async def complete(self, request: UpstreamRequest, answer: Mapping[str, str]) -> SignedIn:
        code = authorization_code(self.label, answer)
        tokens = await exchange_code(
            self._api.http,
            self.label,
            f"{self._api.base}/login/oauth/access_token",
            (self._api.client_id, self._api.secret),
            code,
            request,
        )
        token = str(tokens["access_token"])
        identity = await self._identify(token)
        if self._api.by_organisation:
            return SignedIn(identity, token)
        await self._api.forget(token)
        return SignedIn(identity)

    async def ask_again(self, token: str, subject: str) -> StillVouched:
        return StillVouched(token, await self._api.groups(token))

    async def _identify(self, token: str) -> Identity:
        user = await self._api.user(token)
        if not isinstance(user.get("id"), int) or not isinstance(user.get("login"), str):
            raise ServerError("GitHub did not say who signed in.")
        return Identity(
            provider="github",
            subject=str(user["id"]),
            login=user["login"],
            name=user.get("name") or None,
            email=await self._api.verified_email(token),
            groups=await self._api.groups(token) if self._api.by_organisation else (),
        )
