"""Local accounts."""

from __future__ import annotations

import sys

import click

from ..context import Context
from ..grants import grant as grants
from ..login import local
from .running import json_option, show_rows, when, with_context

password_option = click.option(
    "--password-stdin", is_flag=True, help="Read the password from standard input."
)


@click.group()
def users() -> None:
    """Local accounts: who can sign in without GitHub or an OpenID provider."""


@users.command("list")
@json_option
def list_users(as_json: bool) -> None:
    """List accounts."""

    async def work(ctx: Context) -> list[dict[str, object]]:
        return [
            {
                "name": account.name,
                "full name": account.full_name,
                "created": when(account.created_at),
                "state": "disabled" if account.disabled else "enabled",
            }
            async for account in local.list_accounts(ctx.store)
        ]

    show_rows(
        with_context(work), as_json, "There are no accounts; make one with: mcp-oauth-server users add NAME"
    )


@users.command()
@click.argument("name")
@click.option("--full-name")
@click.option("--email")
@password_option
def add(name: str, full_name: str | None, email: str | None, password_stdin: bool) -> None:
    """Make an account."""
    password = _password(password_stdin)

    async def work(ctx: Context) -> None:
        await local.add_account(ctx.store, name, password, now=ctx.now(), full_name=full_name, email=email)
        ctx.audit.record("account.add", outcome="done", user=f"local:{name}")
        if not ctx.settings.local_accounts:
            click.echo("The account cannot sign in yet: set LOCAL_ACCOUNTS=true.", err=True)

    with_context(work)


@users.command()
@click.argument("name")
@password_option
def password(name: str, password_stdin: bool) -> None:
    """Set an account's password."""
    new = _password(password_stdin)

    async def work(ctx: Context) -> None:
        await local.set_password(ctx.store, name, new)
        ctx.audit.record("account.password", outcome="done", user=f"local:{name}")

    with_context(work)


@users.command()
@click.argument("name")
def disable(name: str) -> None:
    """Refuse an account, with all its tokens, until it is enabled again."""
    _switch(name, disabled=True)


@users.command()
@click.argument("name")
def enable(name: str) -> None:
    """Admit a disabled account again."""
    _switch(name, disabled=False)


@users.command()
@click.argument("name")
def remove(name: str) -> None:
    """Remove an account and revoke everything it has granted."""

    async def work(ctx: Context) -> int:
        await local.remove_account(ctx.store, name)
        ctx.audit.record("account.remove", outcome="done", user=f"local:{name}")
        return await grants.revoke_user(ctx, f"local:{name}", "the account was removed")

    click.echo(f"Removed {name} and revoked {with_context(work)} grants.")


def _switch(name: str, *, disabled: bool) -> None:
    async def work(ctx: Context) -> None:
        await local.set_disabled(ctx.store, name, disabled)
        ctx.audit.record(
            "account.disable" if disabled else "account.enable", outcome="done", user=f"local:{name}"
        )

    with_context(work)


def _password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    typed: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    return typed
