"""Grants: which person let which client use which server. A grant's tokens live and die with it."""

from __future__ import annotations

from collections import Counter

import click

from ..context import Context
from ..grants import grant as grants
from ..records import Grant
from .running import CommandError, json_option, show_rows, when, with_context

user_option = click.option("--user", help="Only this person: github:12345, oidc:SUBJECT or local:NAME.")
client_option = click.option("--client", help="Only this client_id.")


@click.group()
def tokens() -> None:
    """Grants and their tokens: list, count and revoke them."""


@tokens.command("list")
@user_option
@client_option
@json_option
def list_tokens(user: str | None, client: str | None, as_json: bool) -> None:
    """List grants."""

    async def work(ctx: Context) -> list[Grant]:
        return await _find(ctx, user, client)

    rows = [
        {
            "grant": found.grant_id,
            "user": found.identity.user_id if found.identity else None,
            "login": found.identity.login if found.identity else None,
            "client": found.client_name,
            "client_id": found.client_id,
            "server": found.resource or "every server",
            "since": when(found.created_at),
            "last used": when(found.last_used_at),
        }
        for found in with_context(work)
    ]
    show_rows(rows, as_json, "There are no grants.")


@tokens.command()
@click.argument("grant", required=False)
@user_option
@client_option
@click.option("--all", "everything", is_flag=True, help="Every grant of everybody.")
def revoke(grant: str | None, user: str | None, client: str | None, everything: bool) -> None:
    """Revoke GRANT, or all grants of a user, of a client, or of everybody."""
    if sum(map(bool, (grant, user or client, everything))) != 1:
        raise click.UsageError("Name one GRANT, or --user and --client, or --all.")

    async def work(ctx: Context) -> int:
        if grant:
            return int(await grants.revoke(ctx, grant, "revoked by the operator"))
        found = await _find(ctx, user, client)
        return sum([await grants.revoke(ctx, one.grant_id, "revoked by the operator") for one in found])

    revoked = with_context(work)
    if grant and not revoked:
        raise CommandError(f"there is no grant {grant}")
    click.echo(f"Revoked: {revoked}")


@tokens.command()
@json_option
def stats(as_json: bool) -> None:
    """Count grants per server, and everything there is."""

    async def work(ctx: Context) -> list[dict[str, object]]:
        found = await _find(ctx, None, None)
        people = {one.identity.user_id for one in found if one.identity}
        servers = Counter(one.resource or "every server" for one in found)
        counted = {
            "clients": sum([1 async for _ in ctx.clients.list()]),
            "people with grants": len(people),
            "grants": len(found),
            "refresh tokens": sum([1 async for _ in ctx.store.list("refresh_token")]),
            "signing keys": len(await ctx.keys.published()),
        }
        counted |= {f"grants for {server}": count for server, count in sorted(servers.items())}
        return [{"what": what, "count": count} for what, count in counted.items()]

    show_rows(with_context(work), as_json, "")


async def _find(ctx: Context, user: str | None, client: str | None) -> list[Grant]:
    owner = f"user:{user}" if user else f"client:{client}" if client else None
    found = [Grant.model_validate(entry.value) async for entry in ctx.store.list("grant", owner)]
    return sorted((one for one in found if client in (None, one.client_id)), key=lambda one: one.created_at)
