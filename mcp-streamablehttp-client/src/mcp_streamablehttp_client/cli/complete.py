"""`complete URL prompt:NAME|URI ARGUMENT[=TEXT]`: what the server proposes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ..terminal import say, say_json
from .arguments import from_words
from .talking import json_option, talking

if TYPE_CHECKING:
    from ..conversation import Conversation


@click.command(name="complete")
@talking
@click.argument("reference", metavar="prompt:NAME|URI-TEMPLATE")
@click.argument("argument", metavar="ARGUMENT[=TEXT]")
@click.argument("known", nargs=-1, metavar="[KEY=VALUE]...")
@json_option
async def complete(
    server: Conversation, reference: str, argument: str, known: tuple[str, ...], as_json: bool
) -> None:
    """List what the server proposes for an argument of a prompt or of a resource's address, given
    the beginning of its value and the arguments already known."""
    name, _, value = argument.partition("=")
    kind, _, rest = reference.partition(":")
    target = {"name": rest} if kind == "prompt" else {"uri": reference}
    settled = {key: str(text) for key, text in from_words(known, {}).items()}
    result = await server.complete(target, {"name": name, "value": value}, settled)
    if as_json:
        say_json(result)
        return
    found = result.get("completion")
    values = found.get("values") if isinstance(found, dict) else None
    for word in values if isinstance(values, list) else ():
        say(str(word))
