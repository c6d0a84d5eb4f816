"""Sign-in: GitHub, any OpenID provider, local accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import LoginProvider
from .github import GitHub
from .github_api import GitHubApi
from .membership import Memberships
from .oidc import OpenIDProvider

if TYPE_CHECKING:
    from ..context import Context

__all__ = ["GitHubApi", "LoginProvider", "Memberships", "label", "providers"]


def providers(ctx: Context) -> dict[str, LoginProvider]:
    """The providers that are configured, by name, in the order in which they are offered."""
    settings = ctx.settings
    found: dict[str, LoginProvider] = {}
    if settings.github_client_id:
        api = GitHubApi(settings, ctx.http)
        found["github"] = GitHub(api, Memberships(settings, ctx.store, api, ctx.now))
    if settings.oidc_issuer:
        found["oidc"] = OpenIDProvider(settings, ctx.http, ctx.now)
    return found


def label(ctx: Context, provider: str) -> str:
    """A provider's name for people."""
    names = {"github": "GitHub", "oidc": ctx.settings.oidc_name, "local": "account of this gateway"}
    return names.get(provider, provider)


def only_provider(ctx: Context) -> str:
    """The label of the one provider there is, when nothing has to be chosen; else empty."""
    if ctx.settings.local_accounts or bool(ctx.settings.github_client_id) == bool(ctx.settings.oidc_issuer):
        return ""
    return label(ctx, "github" if ctx.settings.github_client_id else "oidc")
