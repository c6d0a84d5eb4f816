"""`call URL TOOL key=value ...`: use a tool by hand."""

import asyncio
import json
import sys
from typing import Any

import click

from ..conversation import Conversation
from ..errors import ClientError
from ..logs import quiet_loop
from ..settings import Settings
from .arguments import from_json, from_words
from .options import connection


@click.command()
@connection
@click.argument("tool")
@click.argument("arguments", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--json", "text", metavar="OBJECT", help="All arguments as one JSON object.")
@click.option("--raw", is_flag=True, help="Print the server's own JSON.")
def call(settings: Settings, tool: str, arguments: tuple[str, ...], text: str | None, raw: bool) -> None:
    """Call a tool. Values are read as the types the tool asks for; exit status 1 when the tool
    reports an error."""
    if text is not None and arguments:
        raise click.UsageError("Give the arguments either as KEY=VALUE or with --json, not both.")

    async def run() -> dict[str, Any]:
        asyncio.get_running_loop().set_exception_handler(quiet_loop)
        async with Conversation.open(settings) as server:
            found = {offered.get("name"): offered for offered in await server.tools()}
            if tool not in found:
                names = ", ".join(sorted(str(name) for name in found)) or "none"
                raise ClientError(f"The server has no tool {tool!r}; it has: {names}.")
            schema = found[tool].get("inputSchema")
            schema = schema if isinstance(schema, dict) else {}
            values = from_json(text) if text is not None else from_words(arguments, schema)
            return await server.request("tools/call", {"name": tool, "arguments": values})

    result = asyncio.run(run())
    if raw:
        click.echo(json.dumps(result, indent=2, ensure_ascii=False))
    else:
        show(result)
    if result.get("isError"):
        sys.exit(1)


def show(result: dict[str, Any]) -> None:
    """Text as it is, other content described in a line; structured content when that is all."""
    if result.get("resultType") == "input_required":
        raise ClientError("The tool asks for input that this command cannot give.")
    content = result.get("content")
    items = [item for item in content if isinstance(item, dict)] if isinstance(content, list) else []
    for item in items:
        click.echo(_item(item), err=bool(result.get("isError")))
    if not items and "structuredContent" in result:
        click.echo(json.dumps(result["structuredContent"], indent=2, ensure_ascii=False))


def _item(item: dict[str, Any]) -> str:
    kind = item.get("type")
    if kind == "text":
        return str(item.get("text"))
    if kind in ("image", "audio"):
        size = len(str(item.get("data", ""))) * 3 // 4
        return f"[{kind} {item.get('mimeType', 'of unknown type')}, {size} bytes; see --raw]"
    if kind == "resource_link":
        return f"[link {item.get('uri')}]"
    if kind == "resource" and isinstance(resource := item.get("resource"), dict):
        return str(resource.get("text", f"[resource {resource.get('uri')}; see --raw]"))
    return f"[{kind}; see --raw]"
