"""What is wrong with a deployment: the settings, the store, and the addresses as clients reach them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Literal

import httpx

from .context import Context
from .errors import StoreUnavailable
from .resources import METADATA_PATH
from .settings import Settings, Shape

Level = Literal["ok", "warning", "problem"]
WELL_KNOWN = "/.well-known/oauth-authorization-server"


@dataclass(frozen=True, slots=True)
class Finding:
    level: Level
    what: str
    advice: str = ""


async def examine(
    ctx: Context, http: httpx.AsyncClient, servers: tuple[str, ...] = ()
) -> AsyncIterator[Finding]:
    """Every finding, good and bad; `http` reaches the public addresses, `servers` are URLs to try."""
    for finding in check_settings(ctx.settings):
        yield finding
    async for finding in check_store(ctx):
        yield finding
    async for finding in check_issuer(ctx.settings, http):
        yield finding
    for url in servers:
        async for finding in check_server(ctx, http, url):
            yield finding


def check_settings(settings: Settings) -> list[Finding]:
    found = [Finding("ok", f"the issuer is {settings.issuer}")]
    local = settings.issuer.startswith(("http://localhost", "http://127.0.0.1", "http://[::1]"))
    if not settings.secure_cookies and not local and ".localhost" not in settings.issuer:
        advice = "most clients refuse plain http; put TLS in front and use an https address"
        found.append(Finding("problem", "the issuer is not https", advice))
    if settings.github_client_id and not (settings.allowed_github_users or settings.allowed_github_orgs):
        advice = "set ALLOWED_GITHUB_USERS or ALLOWED_GITHUB_ORGS"
        found.append(Finding("problem", "GitHub sign-in admits nobody", advice))
    if settings.oidc_issuer and not (settings.allowed_oidc_users or settings.allowed_oidc_groups):
        advice = "set ALLOWED_OIDC_USERS or ALLOWED_OIDC_GROUPS"
        found.append(Finding("problem", "OpenID sign-in admits nobody", advice))
    everybody = [
        name
        for name, users in (
            ("ALLOWED_GITHUB_USERS", settings.allowed_github_users),
            ("ALLOWED_OIDC_USERS", settings.allowed_oidc_users),
        )
        if "*" in users
    ]
    found += [
        Finding("warning", f"{name} is *: every account of the provider is admitted") for name in everybody
    ]
    if "*" in settings.trusted_proxies:
        advice = (
            "name your proxy's network; with * any caller chooses its address for rate limits and the log"
        )
        found.append(Finding("warning", "TRUSTED_PROXIES is *", advice))
    return found


async def check_store(ctx: Context) -> AsyncIterator[Finding]:
    kind = ctx.settings.store_url.partition(":")[0]
    try:
        await ctx.store.ping()
        await ctx.store.increment("doctor", window=1)
        sealed = [entry.key async for entry in ctx.store.list("key")]
        accounts = sum([1 async for _ in ctx.store.list("account")])
        keys = await ctx.keys.published()
    except StoreUnavailable as error:
        advice = f"check STORE_URL and that the {kind} store runs ({error.__cause__})"
        yield Finding("problem", "the store cannot be reached", advice)
        return
    yield Finding("ok", f"the {kind} store can be read and written")
    foreign = len(set(sealed) - {key.kid for key in keys})
    if foreign:
        advice = "every replica must have the same GATEWAY_SECRET; after a change, remove the old keys"
        yield Finding("warning", f"{foreign} signing keys belong to another GATEWAY_SECRET", advice)
    if ctx.settings.local_accounts and not accounts and not ctx.settings.github_client_id:
        yield Finding("problem", "there is no local account", "mcp-oauth-server users add NAME")


async def check_issuer(settings: Settings, http: httpx.AsyncClient) -> AsyncIterator[Finding]:
    url = settings.issuer + WELL_KNOWN
    document = await _json(http, url)
    if isinstance(document, str):
        advice = "check DNS, the edge and its certificate"
        yield Finding("problem", f"{url}: {document}", advice)
        return
    if document.get("issuer") != settings.issuer:
        advice = f"the service there says {document.get('issuer')!r}: check BASE_DOMAIN or PUBLIC_URL"
        yield Finding("problem", f"{url} is the metadata of another issuer", advice)
        return
    yield Finding("ok", f"{url} is reachable and names this issuer")
    for path in ("/verify", "/metrics"):
        response = await http.get(settings.issuer + path)
        if response.status_code != 404:
            advice = "keep it off the public routes (see traefik/dynamic.yml)"
            yield Finding("problem", f"{settings.issuer}{path} answers the public", advice)


async def check_server(ctx: Context, http: httpx.AsyncClient, url: str) -> AsyncIterator[Finding]:
    resource = ctx.resources.canonical(url)
    if resource is None:
        base = f"https://NAME.{ctx.settings.base_domain}/mcp"
        form = base if ctx.settings.shape is Shape.SUBDOMAINS else f"{ctx.settings.issuer}/NAME/mcp"
        yield Finding("problem", f"{url} is not an address of this gateway", f"addresses look like {form}")
        return
    try:
        response = await http.post(resource, json={})
    except httpx.HTTPError as error:
        yield Finding("problem", f"{resource}: {_reason(error)}", "check DNS and the edge's route to it")
        return
    metadata = ctx.resources.metadata_url(resource)
    challenge = response.headers.get("www-authenticate", "")
    if response.status_code != 401 or f'resource_metadata="{metadata}"' not in challenge:
        advice = "the edge must ask /verify about every request to it"
        yield Finding("problem", f"{resource} answered {response.status_code} without a challenge", advice)
        return
    document = await _json(http, metadata)
    if isinstance(document, str) or document.get("resource") != resource:
        advice = f"route {METADATA_PATH} to the authorization server, unauthenticated"
        yield Finding("problem", f"{metadata} is not the metadata of {resource}", advice)
        return
    yield Finding("ok", f"{resource} is gated, and its metadata leads here")


async def _json(http: httpx.AsyncClient, url: str) -> dict[str, Any] | str:
    """The JSON object at a URL, or what is wrong with it."""
    try:
        response = await http.get(url)
        if response.status_code != 200:
            return f"answered {response.status_code}"
        document = response.json()
    except httpx.HTTPError as error:
        return _reason(error)
    except ValueError:
        return "did not answer with JSON"
    return document if isinstance(document, dict) else "did not answer with a JSON object"


def _reason(error: httpx.HTTPError) -> str:
    return str(error) or type(error).__name__
