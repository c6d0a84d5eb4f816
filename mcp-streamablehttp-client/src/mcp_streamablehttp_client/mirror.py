"""Headers that mirror a 2026-07-28 request (basic/transports/streamable-http, "Mirrored headers").

`x-mcp-header` annotations are learned from the tools/list answers that pass by; tools whose
annotations are invalid are dropped from them, as the specification demands of HTTP clients.
"""

import base64
import re
from collections.abc import Iterator
from typing import Any

Path = tuple[str, ...]

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SAFE = re.compile(r"(?:[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)?")
_SENTINEL = re.compile(r"=\?base64\?.*\?=", re.DOTALL)
_NAMED_BY = {
    "tools/call": "name",
    "prompts/get": "name",
    "resources/read": "uri",
    "tasks/get": "taskId",
    "tasks/update": "taskId",
    "tasks/cancel": "taskId",
}


class InvalidAnnotation(ValueError):
    """Why a tool must not be shown."""


class Mirror:
    def __init__(self) -> None:
        self._tools: dict[str, dict[Path, str]] = {}

    def headers(self, method: str, params: dict[str, Any]) -> list[tuple[str, str]]:
        found = [("Mcp-Method", encode(method))]
        key = _NAMED_BY.get(method)
        name = params.get(key) if key else None
        if isinstance(name, str):
            found.append(("Mcp-Name", encode(name)))
        if method == "tools/call" and isinstance(name, str):
            arguments = params.get("arguments")
            for path, header in self._tools.get(name, {}).items():
                if (value := _scalar(arguments, path)) is not None:
                    found.append((f"Mcp-Param-{header}", encode(value)))
        return found

    def learn(self, result: Any) -> list[tuple[str, str]]:
        """Take in a tools/list result, removing invalid tools from it.

        Returns (tool, reason) for each one removed.
        """
        tools = result.get("tools") if isinstance(result, dict) else None
        if not isinstance(tools, list):
            return []
        kept, dropped = [], []
        for tool in tools:
            name = tool.get("name") if isinstance(tool, dict) else None
            if isinstance(name, str):
                try:
                    self._tools[name] = annotations(tool.get("inputSchema"))
                except InvalidAnnotation as error:
                    dropped.append((name, str(error)))
                    continue
            kept.append(tool)
        if dropped:
            result["tools"] = kept
        return dropped


def annotations(schema: Any) -> dict[Path, str]:
    """The header name for each annotated property; raises InvalidAnnotation."""
    found: dict[Path, str] = {}
    for path, holder, reachable in _annotated(schema, (), reachable=True):
        header = holder["x-mcp-header"]
        where = ".".join(path) or "the schema"
        if not isinstance(header, str) or not _TOKEN.fullmatch(header):
            raise InvalidAnnotation(f"the x-mcp-header of {where} is not a header token")
        if not reachable or not path:
            raise InvalidAnnotation(f"the x-mcp-header of {where} is not on a plain property")
        if holder.get("type") not in ("string", "integer", "boolean"):
            raise InvalidAnnotation(f"{where} is not a string, integer or boolean")
        if header.lower() in {other.lower() for other in found.values()}:
            raise InvalidAnnotation(f"the x-mcp-header {header} occurs twice")
        found[path] = header
    return found


def _annotated(schema: Any, path: Path, *, reachable: bool) -> Iterator[tuple[Path, dict[str, Any], bool]]:
    if isinstance(schema, list):
        for item in schema:
            yield from _annotated(item, path, reachable=False)
        return
    if not isinstance(schema, dict):
        return
    if "x-mcp-header" in schema:
        yield path, schema, reachable
    for key, value in schema.items():
        if key == "properties" and isinstance(value, dict):
            for name, member in value.items():
                yield from _annotated(member, (*path, name), reachable=reachable)
        elif key in ("$defs", "definitions", "patternProperties", "dependentSchemas"):
            if isinstance(value, dict):
                for name, member in value.items():
                    yield from _annotated(member, (*path, name), reachable=False)
        elif key not in ("default", "examples", "enum", "const", "x-mcp-header"):
            yield from _annotated(value, path, reachable=False)


def _scalar(arguments: Any, path: Path) -> str | None:
    value = arguments
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, (str, int)):
        return str(value)
    return None


def encode(value: str) -> str:
    """As it is when that is safe in a header, else in the base64 sentinel."""
    if _SAFE.fullmatch(value) and not _SENTINEL.fullmatch(value):
        return value
    return f"=?base64?{base64.b64encode(value.encode('utf-8', 'surrogatepass')).decode()}?="
