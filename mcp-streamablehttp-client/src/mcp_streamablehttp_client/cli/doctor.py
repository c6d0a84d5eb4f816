"""`doctor URL`: which hop is wrong, by which rule, and what to do."""

from __future__ import annotations

import asyncio
import sys

import click

from .._common.hop import Verdict
from ..credentials.store import Store
from ..doctor import examine
from ..logs import quiet_loop
from ..settings import Settings
from ..terminal import say_json
from ..verdicts import show
from .options import connection
from .talking import json_option


@click.command()
@connection
@json_option
def doctor(settings: Settings, as_json: bool) -> None:
    """Walk the way to a server, hop by hop: from its name to the first call in each era of the
    protocol. Exit status 1 when a hop is wrong."""

    async def walk() -> list[Verdict]:
        asyncio.get_running_loop().set_exception_handler(quiet_loop)
        found = []
        async for verdict in examine(settings, Store()):
            found.append(verdict)
            if not as_json:
                show(verdict)
        return found

    found = asyncio.run(walk())
    if as_json:
        say_json({"url": settings.server_url, "hops": [verdict.to_dict() for verdict in found]})
    if any(verdict.state == "wrong" for verdict in found):
        sys.exit(1)
