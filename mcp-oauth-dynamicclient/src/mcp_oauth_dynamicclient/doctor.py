"""What is wrong with a deployment: the settings, the store, and the addresses as clients reach them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx

from ._common import hop_checks as check
from ._common import hop_checks_oauth as oauth
from ._common.hop import Bearer, Reply, Verdict, well, wrong
from .context import Context
from .doctor_records import check_records, check_settings
from .errors import StoreUnavailableError
from .settings import Settings, Shape

WELL_KNOWN = "/.well-known/oauth-authorization-server"
OPENID = "/.well-known/openid-configuration"


async def examine(
    ctx: Context, http: httpx.AsyncClient, servers: tuple[str, ...] = ()
) -> AsyncIterator[Verdict]:
    """Every verdict, good and bad; `http` reaches the public addresses, `servers` are URLs to try, each known
    server's unless given."""
    async for verdict in examine_inside(ctx):
        yield verdict
    async for verdict in check_issuer(ctx.settings, http):
        yield verdict
    async for verdict in check_clocks(ctx, http):
        yield verdict
    for url in servers or await known_servers(ctx):
        yield await check_server(ctx, http, url)


async def examine_inside(ctx: Context) -> AsyncIterator[Verdict]:
    """What can be said without asking any address."""
    for verdict in check_settings(ctx.settings):
        yield verdict
    async for verdict in check_records(ctx):
        yield verdict


async def check_issuer(settings: Settings, http: httpx.AsyncClient) -> AsyncIterator[Verdict]:
    url = settings.issuer + WELL_KNOWN
    try:
        verdict = oauth.check_issuer(settings.issuer, url, await _reply(http, "GET", url))
    except httpx.HTTPError as error:
        cure = "check BASE_DOMAIN or PUBLIC_URL, DNS, the edge and its certificate"
        yield wrong("issuer", f"{url} does not answer", "RFC 8414 §3", cure, _reason(error))
        return
    yield verdict
    if verdict.state == "wrong":
        return
    for path in ("/verify", "/metrics"):
        if (await http.get(settings.issuer + path)).status_code != 404:
            rule = "what services ask each other is not for the public"
            cure = "keep it off the public routes (see traefik/dynamic.yml)"
            yield wrong("edge", f"{settings.issuer}{path} answers the public", rule, cure)


async def check_clocks(ctx: Context, http: httpx.AsyncClient) -> AsyncIterator[Verdict]:
    """This machine's clock beside those of the public address and of the sign-in providers."""
    settings = ctx.settings
    others = {"the public address": settings.issuer + WELL_KNOWN}
    if settings.oidc_issuer:
        others[settings.oidc_name] = settings.oidc_issuer.rstrip("/") + OPENID
    if settings.github_client_id:
        others["GitHub"] = settings.github_base_url
    for whose, url in others.items():
        asked_at = ctx.now()
        try:
            response = await http.head(url)
        except httpx.HTTPError as error:
            if whose != "the public address":  # whose trouble has been told
                rule, cure = "nobody can sign in there", "check DNS and what this machine may reach"
                yield wrong("issuer", f"{whose} cannot be asked", rule, cure, _reason(error))
            continue
        yield check.check_clock(response.headers.get("date"), ctx.now(), asked_at, whose)


async def known_servers(ctx: Context) -> tuple[str, ...]:
    """The addresses of the servers that the edge has, or that the settings list."""
    try:
        names = await ctx.servers.names()
    except StoreUnavailableError:
        return ()  # which has been told
    return tuple(map(ctx.resources.of_server, names))


async def check_server(ctx: Context, http: httpx.AsyncClient, url: str) -> Verdict:
    resource = ctx.resources.canonical(url)
    if resource is None:
        base = f"https://NAME.{ctx.settings.base_domain}/mcp"
        form = base if ctx.settings.shape is Shape.SUBDOMAINS else f"{ctx.settings.issuer}/NAME/mcp"
        rule, cure = "RFC 8707 §2: a token is for one address", f"addresses look like {form}"
        return wrong("url", f"{url} is not an address of this gateway", rule, cure)
    metadata = ctx.resources.metadata_url(resource)
    try:
        refusal = await _reply(http, "POST", resource, json={})
        verdict = oauth.check_gated(resource, refusal)
        if verdict.state != "well":
            return verdict
        bearer = Bearer.of(refusal.headers.get("www-authenticate"))
        if bearer is None or bearer.parameters.get("resource_metadata") != metadata:
            rule, cure = "RFC 9728 §5.1", f"the challenge must name {metadata}: another gate answers there"
            return wrong("challenge", f"the challenge of {resource} is not ours", rule, cure)
        verdict = oauth.check_resource_metadata(resource, metadata, await _reply(http, "GET", metadata))
    except httpx.HTTPError as error:
        cure = "check DNS and the edge's route to it"
        return wrong("edge", f"{resource} does not answer", "RFC 9110 §15.6", cure, _reason(error))
    if verdict.state != "well":
        return verdict
    return well("resource metadata", f"{resource} is gated, and its metadata leads here")


async def _reply(http: httpx.AsyncClient, method: str, url: str, **parts: Any) -> Reply:
    answer = await http.request(method, url, **parts)
    fields = {name.lower(): value for name, value in answer.headers.items()}
    return Reply(answer.status_code, fields, answer.content)


def _reason(error: httpx.HTTPError) -> str:
    return str(error) or type(error).__name__
