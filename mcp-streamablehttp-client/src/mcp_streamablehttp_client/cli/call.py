"""`call URL TOOL key=value ...`: use a tool by hand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import ClientError
from ..terminal import progress_bar, say_json
from . import completion
from .arguments import from_words, refusal
from .content import Shown, save_option
from .talking import json_option, talking, tools_of

if TYPE_CHECKING:
    from ..conversation import Conversation


@click.command(name="call")
@talking
@click.argument("tool", shell_complete=completion.tools)
@click.argument("arguments", nargs=-1, metavar="[ARGUMENT]...", shell_complete=completion.arguments)
@json_option
@save_option
@click.option("--unchecked", is_flag=True, help="Send the call even if the schema forbids it.")
async def call(
    server: Conversation,
    tool: str,
    arguments: tuple[str, ...],
    as_json: bool,
    save: Path | None,
    unchecked: bool,
) -> int:
    """Call a tool; exit status 1 when the tool reports an error.

    KEY=VALUE is read as the type the tool asks for, KEY:=JSON as JSON, KEY=@FILE takes a file's
    text; '{"KEY": …}', @FILE and - (standard input) give many arguments as one JSON object.
    """
    found = {offered.get("name"): offered for offered in await tools_of(server)}
    if tool not in found and not unchecked:
        names = ", ".join(sorted(str(name) for name in found)) or "none"
        raise ClientError(f"The server has no tool {tool!r}; it has: {names}.")
    schema = found.get(tool, {}).get("inputSchema")
    schema = schema if isinstance(schema, dict) else {}
    values = from_words(arguments, schema)
    if not unchecked and (problem := refusal(values, schema)):
        raise ClientError(problem)
    from ..conversation import ServerError

    with progress_bar(tool) as on_progress:
        try:
            result = await server.call(tool, values, on_progress)
        except ServerError as answer:
            if "back-channel" not in str(answer):
                raise
            # the SDK's servers say so where a tool asks as the handshake lets it
            hint = "the tool asks something; --protocol 2025-11-25 lets it"
            raise ClientError(f"{answer} (try again: {hint})") from answer
    failed = result.get("isError") is True
    if as_json:
        say_json(result)
        return int(failed)
    content = result.get("content")
    items = [item for item in content if isinstance(item, dict)] if isinstance(content, list) else []
    shown = Shown(save, err=failed)
    for item in items:
        shown.item(item)
    if not items and "structuredContent" in result:
        say_json(result["structuredContent"], err=failed)
    return int(failed)
