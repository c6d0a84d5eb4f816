"""`tools URL`: what the server offers."""

import asyncio
import json
from typing import Any

import click

from ..conversation import Conversation
from ..logs import quiet_loop
from ..settings import Settings
from .options import connection


@click.command()
@connection
@click.option("--raw", is_flag=True, help="Print the server's own JSON.")
def tools(settings: Settings, raw: bool) -> None:
    """List the tools of a server with their arguments."""

    async def run() -> list[dict[str, Any]]:
        asyncio.get_running_loop().set_exception_handler(quiet_loop)
        async with Conversation.open(settings) as server:
            return await server.tools()

    found = asyncio.run(run())
    if raw:
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    if not found:
        click.echo("The server has no tools.")
    for tool in found:
        click.echo(f"{click.style(tool.get('name', '?'), bold=True)} {signature(tool)}".rstrip())
        description = str(tool.get("description") or tool.get("title") or "").strip()
        if description:
            click.echo(f"    {description.splitlines()[0]}")


def signature(tool: dict[str, Any]) -> str:
    """Arguments as they are typed: `name=TYPE`, in brackets when they can be left out."""
    schema = tool.get("inputSchema")
    schema = schema if isinstance(schema, dict) else {}
    properties = schema.get("properties")
    required = schema.get("required", [])
    words = []
    for name, member in properties.items() if isinstance(properties, dict) else ():
        kind = member.get("type", "json") if isinstance(member, dict) else "json"
        word = f"{name}={'|'.join(kind) if isinstance(kind, list) else kind}"
        words.append(word if name in required else f"[{word}]")
    return " ".join(words)
