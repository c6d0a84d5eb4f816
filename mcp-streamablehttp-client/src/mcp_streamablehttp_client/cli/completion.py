"""What the shell completes: servers signed in to, tools seen there and their arguments.

Nothing is asked of a server at a press of TAB; names are those of the last `tools` or `call`.
"""

from __future__ import annotations

import json
from typing import Any

import click
from click.shell_completion import CompletionItem, get_completion_class

from ..credentials.store import Store
from ..terminal import is_safe, say

_KIND = "tools"


def remember(store: Store, url: str, tools: list[dict[str, Any]]) -> None:
    known: dict[str, list[str]] = {}
    for tool in tools:
        schema = tool.get("inputSchema")
        properties = schema.get("properties") if isinstance(schema, dict) else None
        known[str(tool.get("name"))] = list(properties) if isinstance(properties, dict) else []
    text = json.dumps({"url": url, "tools": known})
    if store.noted(_KIND, url) != text:
        store.note(_KIND, url, text)


def urls(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return _items((server.url for server in Store().servers()), incomplete)


def tools(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return _items(_known(ctx), incomplete)


def arguments(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    names = _known(ctx).get(str(ctx.params.get("tool")), [])
    return _items((f"{name}=" for name in names), incomplete)


def _known(ctx: click.Context) -> dict[str, list[str]]:
    text = Store().noted(_KIND, str(ctx.params.get("url")))
    try:
        return dict(json.loads(text or "{}")["tools"])
    except (ValueError, KeyError, TypeError):
        return {}


def _items(words: Any, incomplete: str) -> list[CompletionItem]:
    """A word that a shell could take for more than a word is left out."""
    plain = (word for word in words if all(is_safe(c) and not c.isspace() for c in word))
    return [CompletionItem(word) for word in plain if word.startswith(incomplete)]


@click.command(name="completion")
@click.argument("kind", type=click.Choice(["bash", "zsh", "fish"]), metavar="bash|zsh|fish")
@click.pass_context
def completion(ctx: click.Context, kind: str) -> None:
    """Print what makes a shell complete commands, servers and the names of tools.

    For bash: eval "$(mcp-streamablehttp-client completion bash)" in ~/.bashrc.
    """
    group = ctx.find_root().command
    name = ctx.find_root().info_name or group.name or ""
    found = get_completion_class(kind)
    assert found is not None
    say(found(group, {}, name, f"_{name}_COMPLETE".replace("-", "_").upper()).source())
