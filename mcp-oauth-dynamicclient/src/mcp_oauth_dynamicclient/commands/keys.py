"""Signing keys."""

from __future__ import annotations

import click

from ..context import Context
from ..keys import SigningKey
from .running import CommandError, json_option, show_rows, when, with_context


@click.group()
def keys() -> None:
    """Signing keys: list, rotate and remove them."""


@keys.command("list")
@json_option
def list_keys(as_json: bool) -> None:
    """List keys; the one without an end signs, from a minute after it was made."""

    async def work(ctx: Context) -> list[SigningKey]:
        return await ctx.keys.published()

    rows = [
        {"kid": key.kid, "created": when(key.created_at), "ends": when(key.expires_at)}
        for key in with_context(work)
    ]
    show_rows(rows, as_json, "There are no keys.")


@keys.command()
def rotate() -> None:
    """Sign with a new key from a minute on, when all know it; nobody is logged out."""

    async def work(ctx: Context) -> SigningKey:
        key = await ctx.keys.rotate()
        ctx.audit.record("key.rotate", outcome="done")
        return key

    click.echo(with_context(work).kid)


@keys.command()
@click.argument("kid")
def remove(kid: str) -> None:
    """Forget a key that leaked: the access tokens that it signed are refused at once."""

    async def work(ctx: Context) -> bool:
        removed = await ctx.keys.remove(kid)
        ctx.audit.record("key.remove", outcome="done" if removed else "absent")
        return removed

    if not with_context(work):
        raise CommandError(f"there is no key {kid}")
