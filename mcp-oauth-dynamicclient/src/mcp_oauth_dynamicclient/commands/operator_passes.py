"""`operator-passes`: what a doctor beside this container tries the servers with."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from dataclasses import asdict

import click

from ..context import Context
from ..operator_token import issued
from .running import CommandError, with_context


@click.command("operator-passes", hidden=True)
@click.option("--purpose", default="doctor", show_default=True, help="Named in the audit log.")
@click.argument("urls", nargs=-1, required=True)
def operator_passes(purpose: str, urls: tuple[str, ...]) -> None:
    """Print a token and an identity statement for each of the servers URLS, as one line of JSON, and revoke
    them when standard input ends."""
    if sys.stdout.isatty():
        raise CommandError("tokens are not for a screen; this is what ./justw doctor reads")

    async def work(ctx: Context) -> None:
        async with AsyncExitStack() as stack:
            passes = {}
            for url in urls:
                resource = ctx.resources.canonical(url)
                if resource is None:
                    raise CommandError(f"{url} is not an address of this gateway")
                passes[url] = asdict(await stack.enter_async_context(issued(ctx, resource, purpose)))
            click.echo(json.dumps(passes))
            sys.stdout.flush()
            await asyncio.to_thread(sys.stdin.read)

    with_context(work)
