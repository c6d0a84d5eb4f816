"""`raw URL METHOD [PARAMS]`: any request at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ..terminal import say_json
from .arguments import from_words
from .talking import talking

if TYPE_CHECKING:
    from ..conversation import Conversation


@click.command(name="raw")
@talking
@click.argument("method")
@click.argument("params", nargs=-1, metavar="[PARAMS]...")
async def raw(server: Conversation, method: str, params: tuple[str, ...]) -> int:
    """Send one request and print the server's own JSON: its result, or its error with exit status 1.

    PARAMS are KEY=VALUE, KEY:=JSON, one JSON object, @FILE or -.
    """
    from ..conversation import ServerError

    try:
        say_json(await server.request(method, from_words(params, {}) or None))
    except ServerError as refusal:
        say_json({"error": refusal.value})
        return 1
    return 0
