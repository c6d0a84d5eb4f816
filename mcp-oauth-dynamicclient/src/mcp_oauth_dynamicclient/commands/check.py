"""`check`: says what is wrong with a deployment."""

from __future__ import annotations

import click
import httpx

from .. import doctor
from ..context import Context
from .running import with_context

MARKS = {"ok": "ok       ", "warning": "warning  ", "problem": "PROBLEM  "}


@click.command()
@click.option("--server", "servers", multiple=True, help="The URL of a server to try; may be repeated.")
@click.option("--insecure", is_flag=True, help="Accept any certificate.")
def check(servers: tuple[str, ...], insecure: bool) -> None:
    """Say what is wrong with the settings, the store and the public addresses; status 1 if something is."""

    async def work(ctx: Context) -> bool:
        problems = False
        async with httpx.AsyncClient(timeout=10, verify=not insecure) as http:
            async for finding in doctor.examine(ctx, http, servers):
                click.echo(MARKS[finding.level] + finding.what)
                if finding.advice:
                    click.echo(" " * len(MARKS["ok"]) + finding.advice)
                problems |= finding.level == "problem"
        return problems

    if with_context(work):
        raise SystemExit(1)
