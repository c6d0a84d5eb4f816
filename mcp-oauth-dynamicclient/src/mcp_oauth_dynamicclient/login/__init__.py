"""Sign-in: GitHub, any OpenID provider, local accounts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .base import LoginProvider
from .github import GitHub
from .guarded import GuardedProvider
from .oidc import OpenIDProvider
from .standing import Standings

if TYPE_CHECKING:
    import httpx

    from ..context import Context
    from ..settings import Settings

__all__ = ["LoginProvider", "Standings", "label", "only_provider", "providers"]


def providers(
    settings: Settings, http: httpx.AsyncClient, now: Callable[[], float]
) -> dict[str, LoginProvider]:
    """The providers that are configured, by name, in the order in which they are offered."""
    found: dict[str, LoginProvider] = {}
    if settings.github_client_id:
        found["github"] = GuardedProvider(GitHub(settings, http))
    if settings.oidc_issuer:
        found["oidc"] = GuardedProvider(OpenIDProvider(settings, http, now))
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
