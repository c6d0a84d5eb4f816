"""The file itself: JSON, with the comments and trailing commas that editors allow."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .._common.settings import SettingsError

_TEXT = r'"(?:\\.|[^"\\])*"'
_COMMENT = re.compile(rf"({_TEXT})|//[^\n]*|/\*.*?\*/", re.DOTALL)
_TRAILING_COMMA = re.compile(rf"({_TEXT})|,(?=\s*[}}\]])", re.DOTALL)


def entries(file: Path) -> Mapping[str, Any]:
    """What a file says of each server, by the name that the person gave it.

    The servers are under `mcpServers`, in VS Code under `servers`, in its settings under `mcp.servers`.
    Raises SettingsError.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as problem:
        raise SettingsError(f"{file}: {problem.strerror}") from problem
    except ValueError as problem:
        raise SettingsError(f"{file}: is not UTF-8 text") from problem
    for pattern in (_COMMENT, _TRAILING_COMMA):
        text = pattern.sub(lambda found: found[1] or "", text)
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise SettingsError(f"{file}: not valid JSON: {problem}") from problem
    found = None
    if isinstance(document, dict):
        nested = document.get("mcp")
        places = (document, nested) if isinstance(nested, dict) else (document,)
        found = next(
            (place[key] for place in places for key in ("mcpServers", "servers") if key in place), None
        )
    if not isinstance(found, dict) or not found:
        raise SettingsError(f"{file}: needs an object mcpServers (or servers) with at least one server")
    return found
