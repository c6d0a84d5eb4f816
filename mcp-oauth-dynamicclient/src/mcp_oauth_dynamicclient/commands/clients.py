"""Registered clients."""

from __future__ import annotations

import json
from typing import IO, Any

import click

from ..clients import management
from ..context import Context
from ..json_object import parse_object
from ..records import Client
from .running import CommandError, json_option, show_rows, when, with_context


@click.group()
def clients() -> None:
    """Clients: list, show, pre-register and delete them."""


@clients.command("list")
@json_option
def list_clients(as_json: bool) -> None:
    """List clients that registered, were entered here, or stand in CLIENTS_FILE."""

    async def work(ctx: Context) -> list[dict[str, object]]:
        found = [client async for client in ctx.clients.list()]
        return [
            {
                "client_id": client.client_id,
                "name": client.name,
                "source": client.source,
                "registered": when(client.issued_at) if client.issued_at else None,
                "last used": when(client.last_used_at),
            }
            for client in sorted(found, key=lambda client: client.issued_at)
        ]

    show_rows(with_context(work), as_json, "There are no clients.")


@clients.command()
@click.argument("client_id")
def show(client_id: str) -> None:
    """Show a client's metadata as JSON."""

    async def work(ctx: Context) -> Client | None:
        return await ctx.clients.find(client_id)

    client = with_context(work)
    if client is None:
        raise CommandError(f"there is no client {client_id}")
    click.echo(
        json.dumps({"client_id": client.client_id, "source": client.source, **client.metadata}, indent=2)
    )


@clients.command()
@click.option("--name", help="The name that people see.")
@click.option("--redirect-uri", "redirect_uris", multiple=True, help="May be repeated.")
@click.option("--grant-type", "grant_types", multiple=True, help="May be repeated.")
@click.option("--auth-method", help="none, client_secret_basic, client_secret_post or private_key_jwt.")
@click.option("--client-id", help="Instead of a random one.")
@click.option(
    "--file", "source", type=click.File(), help="All metadata as a JSON object (RFC 7591); - for stdin."
)
def add(
    name: str | None,
    redirect_uris: tuple[str, ...],
    grant_types: tuple[str, ...],
    auth_method: str | None,
    client_id: str | None,
    source: IO[str] | None,
) -> None:
    """Pre-register a client; its secret is shown once."""
    try:
        metadata = parse_object(source.read().encode()) if source else {}
    except ValueError as error:
        raise CommandError("the file must contain one JSON object") from error
    given = {
        "client_id": client_id,
        "client_name": name,
        "redirect_uris": list(redirect_uris),
        "grant_types": list(grant_types),
        "token_endpoint_auth_method": auth_method,
    }
    metadata |= {member: value for member, value in given.items() if value}

    async def work(ctx: Context) -> dict[str, Any]:
        registration = await ctx.clients.preregister(metadata)
        ctx.audit.record("client.preregister", outcome="done", client=registration.client.client_id)
        return management.information(ctx, registration)

    click.echo(json.dumps(with_context(work), indent=2))


@clients.command()
@click.argument("client_id")
def delete(client_id: str) -> None:
    """Delete a client and revoke everything it holds."""

    async def work(ctx: Context) -> bool:
        return await management.remove(ctx, client_id, "deleted by the operator")

    if not with_context(work):
        raise CommandError(f"there is no client {client_id} in the store; what it held has been revoked")
    click.echo(f"Deleted {client_id} and revoked everything it held.")
