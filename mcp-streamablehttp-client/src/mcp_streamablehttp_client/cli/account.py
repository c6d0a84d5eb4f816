"""`status` and `logout`: what is stored, and how to be rid of it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import click

from ..credentials.records import Server
from ..credentials.store import Store
from ..errors import ClientError
from ..logs import set_up
from ..settings import Settings, server_url
from ..terminal import say, say_json
from . import completion
from .talking import json_option


def _url(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    try:
        return server_url(value) if value is not None else None
    except ClientError as error:
        raise click.BadParameter(str(error), ctx, parameter) from error


@click.command()
@click.argument("url", required=False, callback=_url, shell_complete=completion.urls)
@json_option
def status(url: str | None, as_json: bool) -> None:
    """Show the servers signed in to, or one of them. No secret is printed."""
    store = Store()
    if url is None:
        servers = store.servers()
        if as_json:
            say_json([_facts(store, server) for server in servers])
            return
        if not servers:
            say("Not signed in to any server.")
        for server in servers:
            say(f"{server.url}\n  {_describe(store, server)}")
        return
    found = store.server(url)
    if found is None or store.tokens(found.issuer, found.resource) is None:
        raise ClientError(f"Not signed in to {url}; run: mcp-streamablehttp-client login {url}")
    if as_json:
        say_json(_facts(store, found))
        return
    say(f"{url}\n  {_describe(store, found)}")


def _facts(store: Store, server: Server) -> dict[str, Any]:
    """`expires_at` is in seconds since the epoch."""
    tokens = store.tokens(server.issuer, server.resource)
    facts: dict[str, Any] = {"url": server.url, "issuer": server.issuer, "signed_in": tokens is not None}
    if tokens is not None:
        facts |= {
            "client_id": tokens.client_id,
            "scope": tokens.scope,
            "expires_at": tokens.expires_at,
            "renewed": tokens.refresh_token is not None,
            "kept_in": store.place_of(server.issuer, server.resource),
        }
    return facts


def _describe(store: Store, server: Server) -> str:
    tokens = store.tokens(server.issuer, server.resource)
    if tokens is None:
        return f"signed out (was signed in at {server.issuer})"
    if tokens.expires_at is None:
        life = "the token names no end"
    elif tokens.expired:
        life = "the token has expired" + (
            " and will be renewed" if tokens.refresh_token else "; sign in again"
        )
    else:
        life = f"the token ends in {_duration(tokens.expires_at - time.time())}"
        life += " and will be renewed" if tokens.refresh_token else ""
    scope = f", scope {tokens.scope}" if tokens.scope else ""
    place = store.place_of(server.issuer, server.resource)
    return f"signed in at {server.issuer} as client {tokens.client_id}{scope}; {life}; kept in {place}"


def _duration(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


@click.command()
@click.argument("url", callback=_url)
@click.option("--verbose", is_flag=True, help="Say on stderr what is going on.")
def logout(url: str, verbose: bool) -> None:
    """Revoke and forget the tokens of a server, and the client registration if nobody else
    uses it."""
    set_up(verbose=verbose)
    store = Store()
    server = store.server(url)
    if server is None:
        say(f"Not signed in to {url}; nothing to do.")
        return
    revoked = asyncio.run(_revoke(store, server))
    store.delete_tokens(server.issuer, server.resource)
    store.delete_server(url)
    if all(other.issuer != server.issuer for other in store.servers()):
        store.delete_client(server.issuer)
    say(
        f"Signed out of {url}."
        + ("" if revoked else " The tokens were forgotten here but could not be revoked there.")
    )


async def _revoke(store: Store, server: Server) -> bool:
    from ..oauth.challenge import Challenge
    from ..oauth.discovery import discover
    from ..oauth.token_endpoint import revoke
    from ..oauth.web import Web

    tokens = store.tokens(server.issuer, server.resource)
    if tokens is None:
        return True
    web = Web(Settings(server.url))
    try:
        discovery = await discover(web, Challenge())
        endpoint = discovery.server.revocation_endpoint
        if endpoint is None or discovery.server.issuer != server.issuer:
            return False
        return await revoke(web, endpoint, tokens)
    except ClientError:
        return False
