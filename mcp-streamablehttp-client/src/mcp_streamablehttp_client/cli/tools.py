"""`tools URL`: what the server offers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ..terminal import bold, say, say_json
from .arguments import resolved, types_of
from .talking import described, json_option, talking, tools_of

if TYPE_CHECKING:
    from ..conversation import Conversation


@click.command(name="tools")
@talking
@json_option
async def tools(server: Conversation, as_json: bool) -> None:
    """List the tools of a server with their arguments."""
    found = await tools_of(server)
    if as_json:
        say_json(found)
        return
    if not found:
        say("The server has no tools.")
    for tool in found:
        say(bold(str(tool.get("name", "?"))), f" {signature(tool)}".rstrip())
        if description := described(tool):
            say(f"    {description}")


def signature(tool: dict[str, Any]) -> str:
    """Arguments as they are typed: `name=TYPE`, in brackets when they can be left out."""
    schema = tool.get("inputSchema")
    schema = schema if isinstance(schema, dict) else {}
    properties = resolved(schema, schema).get("properties")
    required = schema.get("required")
    required = required if isinstance(required, list) else []
    words = []
    for name, member in properties.items() if isinstance(properties, dict) else ():
        word = f"{name}={'|'.join(types_of(resolved(member, schema))) or 'json'}"
        words.append(word if name in required else f"[{word}]")
    return " ".join(words)
