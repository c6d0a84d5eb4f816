"""`prompts URL` and `prompt URL NAME key=value ...`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import ClientError
from ..terminal import bold, say, say_json
from .arguments import from_words, refusal
from .content import Shown, save_option
from .talking import described, json_option, talking

if TYPE_CHECKING:
    from ..conversation import Conversation


@click.command(name="prompts")
@talking
@json_option
async def prompts(server: Conversation, as_json: bool) -> None:
    """List the prompts of a server with their arguments."""
    found = await server.list("prompts") if server.capabilities.prompts else []
    if as_json:
        say_json(found)
        return
    if not found:
        say("The server has no prompts.")
    for item in found:
        words = [
            f"{argument.get('name')}=" if argument.get("required") else f"[{argument.get('name')}=]"
            for argument in _arguments(item)
        ]
        say(bold(str(item.get("name", "?"))), f" {' '.join(words)}".rstrip())
        if description := described(item):
            say(f"    {description}")


@click.command(name="prompt")
@talking
@click.argument("name")
@click.argument("arguments", nargs=-1, metavar="[ARGUMENT]...")
@json_option
@save_option
async def prompt(
    server: Conversation, name: str, arguments: tuple[str, ...], as_json: bool, save: Path | None
) -> None:
    """Show a prompt filled in. Its arguments are text: KEY=VALUE, KEY=@FILE, @FILE or -."""
    found = {item.get("name"): item for item in await server.list("prompts")}
    if name not in found:
        names = ", ".join(sorted(map(str, found))) or "none"
        raise ClientError(f"The server has no prompt {name!r}; it has: {names}.")
    offered = _arguments(found[name])
    schema = {
        "type": "object",
        "properties": {str(item.get("name")): {"type": "string"} for item in offered},
        "required": [str(item.get("name")) for item in offered if item.get("required")],
        "additionalProperties": False,
    }
    values = from_words(arguments, schema)
    if problem := refusal(values, schema):
        raise ClientError(problem.replace("The tool", "The prompt"))
    result = await server.prompt(name, values)
    if as_json:
        say_json(result)
        return
    messages = result.get("messages")
    shown = Shown(save)
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict) and isinstance(content := message.get("content"), dict):
            say(bold(f"{message.get('role')}:"))
            shown.item(content)


def _arguments(prompt: dict[str, Any]) -> list[dict[str, Any]]:
    found = prompt.get("arguments")
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
