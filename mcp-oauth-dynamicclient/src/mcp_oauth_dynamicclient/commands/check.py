"""`check`: says what is wrong with a deployment."""

from __future__ import annotations

import json

import click
import httpx

from .. import doctor
from .._common.hop import Verdict
from ..context import Context
from .running import json_option, plain, with_context

MARKS = {"well": "ok", "warning": "warning", "wrong": "PROBLEM", "unseen": "-"}
WIDTH = max(map(len, MARKS.values())) + 2


@click.command()
@click.option("--server", "servers", multiple=True, help="The URL of a server to try; may be repeated.")
@click.option("--inside", is_flag=True, help="Look at the settings and the store only, and ask no address.")
@click.option("--insecure", is_flag=True, help="Accept any certificate.")
@json_option
def check(servers: tuple[str, ...], inside: bool, insecure: bool, as_json: bool) -> None:
    """Say what is wrong with the settings, the store and the public addresses, by which rule, and what to do;
    status 1 if something is."""
    if inside and servers:
        raise click.UsageError("--inside asks no address, and so no --server.")

    async def work(ctx: Context) -> list[Verdict]:
        found = []
        async with httpx.AsyncClient(timeout=10, verify=not insecure) as http:
            async for verdict in doctor.examine_inside(ctx) if inside else doctor.examine(ctx, http, servers):
                found.append(verdict)
                if not as_json:
                    show(verdict)
        return found

    found = with_context(work)
    well = not any(verdict.state == "wrong" for verdict in found)
    if as_json:
        click.echo(json.dumps({"well": well, "hops": [verdict.to_dict() for verdict in found]}, indent=2))
    if not well:
        raise SystemExit(1)


def show(verdict: Verdict) -> None:
    click.echo(f"{MARKS[verdict.state]:<{WIDTH}}{plain(verdict.what)}")
    for name in ("said", "rule", "cure"):
        if text := getattr(verdict, name):
            click.echo(f"{'':<{WIDTH}}{'it says' if name == 'said' else name}: {plain(text)}")
