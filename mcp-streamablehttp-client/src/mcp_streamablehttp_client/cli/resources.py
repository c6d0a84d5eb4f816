"""`resources URL` and `read URL URI`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..terminal import bold, say, say_json
from .content import Shown, save_option
from .talking import described, json_option, talking

if TYPE_CHECKING:
    from ..conversation import Conversation


@click.command(name="resources")
@talking
@json_option
async def resources(server: Conversation, as_json: bool) -> None:
    """List the resources of a server and the templates of their addresses."""
    found = await server.list("resources") if server.capabilities.resources else []
    templates = await server.list("resourceTemplates") if server.capabilities.resources else []
    if as_json:
        say_json({"resources": found, "resourceTemplates": templates})
        return
    if not found and not templates:
        say("The server has no resources.")
    for item in [*found, *templates]:
        kind = f"  {item['mimeType']}" if isinstance(item.get("mimeType"), str) else ""
        say(bold(str(item.get("uri") or item.get("uriTemplate") or "?")), f"  {item.get('name', '')}{kind}")
        if description := described(item):
            say(f"    {description}")


@click.command(name="read")
@talking
@click.argument("uri")
@json_option
@save_option
async def read(server: Conversation, uri: str, as_json: bool, save: Path | None) -> None:
    """Read a resource: text is printed, other contents are kept with --save."""
    result = await server.read(uri)
    if as_json:
        say_json(result)
        return
    contents = result.get("contents")
    shown = Shown(save)
    for item in contents if isinstance(contents, list) else ():
        if isinstance(item, dict):
            shown.resource(item)
