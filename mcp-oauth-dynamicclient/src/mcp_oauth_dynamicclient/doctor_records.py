"""What the settings and the store say for themselves: who may sign in, and whether keys, accounts and grants
are those of this gateway. No address is asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

from ._common.hop import Verdict, well
from ._common.hop_checks import check_https
from .context import Context
from .errors import StoreUnavailableError
from .login import local
from .records import Grant
from .settings import Settings
from .this_machine import is_loopback
from .troubles import TROUBLES

MOST_NAMED = 5
"""Clients, in one sentence."""


def check_settings(settings: Settings) -> Iterator[Verdict]:
    yield check_https(settings.issuer, loopback=is_loopback(urlsplit(settings.issuer).hostname or ""))
    providers = (
        ("GitHub", settings.github_client_id, settings.allowed_github_users, settings.allowed_github_orgs,
         "ALLOWED_GITHUB_USERS", "ALLOWED_GITHUB_ORGS"),
        ("OpenID", settings.oidc_issuer, settings.allowed_oidc_users, settings.allowed_oidc_groups,
         "ALLOWED_OIDC_USERS", "ALLOWED_OIDC_GROUPS"),
    )  # fmt: skip
    for provider, used, users, groups, setting, other in providers:
        if used and not (users or groups):
            nobody = TROUBLES["nobody admitted"]
            yield nobody.found(f"{provider} sign-in admits nobody", setting=f"{setting} or {other}")
        if "*" in users:
            yield TROUBLES["everybody admitted"].found(f"{setting} is *")
    # Behind an edge that is asked for its servers, nobody else reaches this one (docker-compose.yml).
    if "*" in settings.trusted_proxies and settings.edge_url is None:
        yield TROUBLES["proxies"].found("TRUSTED_PROXIES is *")


async def check_records(ctx: Context, *, made_at_start: bool = False) -> AsyncIterator[Verdict]:
    """Store, keys, people, and clients that were connected at an address that is another's now.

    `made_at_start` is whether every start makes sure of an account.
    """
    kind = ctx.settings.store_url.partition(":")[0]
    try:
        await ctx.store.ping()
        await ctx.store.increment("doctor", window=1)
        sealed = {entry.key async for entry in ctx.store.list("key")}
        keys = {key.kid for key in await ctx.keys.published()}
        accounts = [(account.name, account.disabled) async for account in local.list_accounts(ctx.store)]
        grants = [Grant.model_validate(entry.value) async for entry in ctx.store.list("grant")]
    except StoreUnavailableError as error:
        what = f"the {kind} store cannot be used"
        yield TROUBLES["store is away"].found(what, str(error.__cause__ or error))
        return
    yield well("store", f"the {kind} store can be read and written")
    if sealed - keys:
        yield TROUBLES["keys"].found(f"{len(sealed - keys)} signing keys belong to another GATEWAY_SECRET")
    else:
        yield well("keys", f"{len(keys)} that sign or are still believed")
    if ctx.settings.local_accounts:
        for verdict in _people(accounts, ctx.settings, made_at_start):
            yield verdict
    moved: dict[str, set[str]] = {}
    for grant in grants:
        if grant.resource and ctx.resources.canonical(grant.resource) is None:
            moved.setdefault(_origin(grant.resource), set()).add(grant.client_name)
    for origin, clients in moved.items():
        named = ", ".join(sorted(clients)[:MOST_NAMED])
        what = f"{named}: connected at {origin}, which is not this gateway's address"
        yield TROUBLES["port changed"].found(what, url=ctx.settings.issuer)


def _people(accounts: list[tuple[str, bool]], settings: Settings, made_at_start: bool) -> Iterator[Verdict]:
    disabled = [name for name, is_disabled in accounts if is_disabled]
    elsewhere = settings.github_client_id or settings.oidc_issuer
    if not accounts and not elsewhere:
        if made_at_start:
            what = "the database has no account, and every start makes sure of one"
            yield TROUBLES["database wiped"].found(what)
        else:
            yield TROUBLES["no account"].found("there is no account, and no provider")
    elif disabled and len(disabled) == len(accounts) and not elsewhere:
        what = f"every account is disabled: {', '.join(disabled)}"
        yield TROUBLES["nobody enabled"].found(what, name=disabled[0])
    elif disabled:
        for name in disabled:
            yield TROUBLES["person disabled"].found(f"the account {name} is disabled", name=name)
    else:
        yield well("person", f"{len(accounts)} accounts, none is disabled")


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
