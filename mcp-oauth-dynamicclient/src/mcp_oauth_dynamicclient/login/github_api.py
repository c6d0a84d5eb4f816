"""GitHub's REST interface: who somebody is, and which organisations and teams they belong to."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import httpx

from ..errors import AccessDeniedError, OAuth2Error, ServerError
from ..json_object import parse_json
from ..settings import Settings
from .upstream import json_object, send

HEADERS = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
MOST_PAGES = 20
"""Of 100 organisations or teams each."""


class GitHubApi:
    """The few calls that say who somebody is and where they belong."""

    label = "GitHub"

    def __init__(self, settings: Settings, http: httpx.AsyncClient) -> None:
        self.http = http
        self.base = settings.github_base_url.rstrip("/")
        self.url = _api_url(self.base)
        self.client_id = settings.github_client_id or ""
        secret = settings.github_client_secret
        self.secret = secret.get_secret_value() if secret else ""
        self.by_organisation = bool(settings.allowed_github_orgs)
        self._by_team = any("/" in rule for rule in settings.allowed_github_orgs)

    async def user(self, token: str) -> dict[str, Any]:
        return json_object(self.label, await self._get(token, f"{self.url}/user"))

    async def verified_email(self, token: str) -> str | None:
        """The primary address, which the profile need not show."""
        for entry in await self._pages(token, f"{self.url}/user/emails", required=False):
            if entry.get("primary") and entry.get("verified"):
                return str(entry["email"])
        return None

    async def groups(self, token: str) -> tuple[str, ...]:
        """`org` and, if a rule names one, `org/team`. Raises AccessDeniedError for a token that is no longer
        good."""
        orgs = await self._pages(token, f"{self.url}/user/orgs")
        found = [login for org in orgs if isinstance(login := org.get("login"), str)]
        if self._by_team:
            teams = await self._pages(token, f"{self.url}/user/teams")
            for team in teams:
                org = team.get("organization")
                if isinstance(org, dict):
                    found.append(f"{org.get('login')}/{team.get('slug')}")
        return tuple(found)

    async def forget(self, token: str) -> None:
        """Hand a token back that is not needed any more; it does not matter if that fails."""
        try:
            await send(
                self.http,
                self.label,
                "DELETE",
                f"{self.url}/applications/{self.client_id}/token",
                json={"access_token": token},
                headers=HEADERS,
                auth=httpx.BasicAuth(self.client_id, self.secret),
            )
        except OAuth2Error:
            return

    async def _get(self, token: str, url: str) -> httpx.Response:
        headers = {**HEADERS, "Authorization": f"Bearer {token}"}
        response = await send(self.http, self.label, "GET", url, headers=headers)
        if response.status_code == 401:
            raise AccessDeniedError("GitHub no longer vouches for this sign-in; sign in again.")
        return response

    async def _pages(self, token: str, url: str, *, required: bool = True) -> list[dict[str, Any]]:
        """Every entry of a list that GitHub spreads over pages (RFC 8288 `next` links, on the API only)."""
        entries: list[dict[str, Any]] = []
        following: str | None = f"{url}?per_page=100"
        for _ in range(MOST_PAGES):
            if following is None or not following.startswith(f"{self.url}/"):
                break
            response = await self._get(token, following)
            page = _list(response)
            if page is None:
                if required:
                    raise ServerError("GitHub did not tell the person's organisations; approve read:org.")
                break
            entries += page
            following = response.links.get("next", {}).get("url")
        return entries


def _list(response: httpx.Response) -> list[dict[str, Any]] | None:
    try:
        page = parse_json(response.content) if response.status_code == 200 else None
    except ValueError:
        return None
    return page if isinstance(page, list) and all(isinstance(entry, dict) for entry in page) else None


def _api_url(base: str) -> str:
    """github.com and tenants of ghe.com have a host for the API, Enterprise Servers a path."""
    host = urlsplit(base).netloc
    if host == "github.com" or host.endswith(".ghe.com"):
        return f"https://api.{host}"
    return f"{base}/api/v3"
