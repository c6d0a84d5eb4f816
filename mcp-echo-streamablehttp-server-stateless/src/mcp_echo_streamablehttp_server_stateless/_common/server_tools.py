"""What a server's tools are, short enough to be told to the gateway and shown to a person.

The digest has the members of `tools/list` (MCP, Tools), cut; so whoever is told may digest it again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

MOST = 100
"""Tools that are named; the rest are counted."""
MOST_COUNTED = 1_000_000
LONGEST_NAME = 64
LONGEST_LINE = 200
"""Characters of what a tool says it does."""
MOST_OCTETS = 40 * 1024
"""Of all that are named, as JSON: what the edge and the gateway take of a server is bounded."""
HINTS = ("readOnlyHint", "destructiveHint")

_READ = 4 * LONGEST_LINE
"""Characters of a text that are looked at: the work is bounded, whatever a server writes."""


def digest(tools: Iterable[object], count: int = 0) -> dict[str, Any]:
    """The tools of a server in short: how many, and the first of them. `count` is how many are known of."""
    found, left = 0, MOST_OCTETS
    named: list[dict[str, Any]] = []
    for tool in tools:
        if isinstance(tool, Mapping) and (name := line(tool.get("name"), LONGEST_NAME)):
            found += 1
            if found <= MOST and left > 0:
                entry = {"name": name, **_about(tool)}
                left -= len(json.dumps(entry, ensure_ascii=False).encode())
                named += [entry] if left >= 0 else []
    return {"count": max(count, found), "tools": named}


def digested_again(told: object) -> dict[str, Any] | None:
    """What a server told as its digest, made one whatever it is; None where it is none at all."""
    if not isinstance(told, Mapping) or not isinstance(tools := told.get("tools"), list):
        return None
    count = told.get("count")
    if isinstance(count, int) and not isinstance(count, bool) and count <= MOST_COUNTED:
        return digest(tools, count)
    return digest(tools)


def line(text: object, longest: int) -> str:
    """A stranger's text on one line, without what moves or hides other text, with "…" where it was cut."""
    if not isinstance(text, str):
        return ""
    words = " ".join("".join(c if c.isprintable() else " " for c in text[:_READ]).split())
    return words if len(words) <= longest else f"{words[: longest - 1].rstrip()}…"


def _about(tool: Mapping[Any, Any]) -> dict[str, Any]:
    """Title, description and hints, as far as there are any."""
    annotations = tool.get("annotations")
    annotations = annotations if isinstance(annotations, Mapping) else {}
    title = line(tool.get("title"), LONGEST_NAME) or line(annotations.get("title"), LONGEST_NAME)
    description = line(tool.get("description"), LONGEST_LINE)
    hints = {hint: value for hint in HINTS if isinstance(value := annotations.get(hint), bool)}
    texts = {"title": title, "description": description, "annotations": hints}
    return {name: value for name, value in texts.items() if value}
