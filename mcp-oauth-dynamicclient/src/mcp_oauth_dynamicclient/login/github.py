"""Sign-in with GitHub: github.com, or a GitHub Enterprise Server by its base URL."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import ServerError
from ..records import Identity
from .base import Attempt, authorization_code
from .github_api import GitHubApi
from .membership import Memberships
from .upstream import authorization_url, exchange_code


class GitHub:
    name = "github"
    label = "GitHub"

    def __init__(self, api: GitHubApi, memberships: Memberships) -> None:
        self._api = api
        self._memberships = memberships

    async def begin(self, attempt: Attempt) -> str:
        scope = "read:user user:email" + (" read:org" if self._api.by_organisation else "")
        extra = {"prompt": "select_account"} if attempt.prompt else {}
        endpoint = f"{self._api.base}/login/oauth/authorize"
        return authorization_url(endpoint, self._api.client_id, scope, attempt, **extra)

    async def complete(self, attempt: Attempt, answer: Mapping[str, str]) -> Identity:
        code = authorization_code(self.label, answer)
        tokens = await exchange_code(
            self._api.http,
            self.label,
            f"{self._api.base}/login/oauth/access_token",
            (self._api.client_id, self._api.secret),
            code,
            attempt,
        )
        token = str(tokens["access_token"])
        identity = await self._identify(token)
        if self._api.by_organisation:
            await self._memberships.remember(identity, token)
        else:
            await self._api.forget(token)
        return identity

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
