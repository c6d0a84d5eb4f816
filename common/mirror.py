"""What the tools of a 2026-07-28 server want mirrored, learned from the tools/list answers that pass by.

Tools whose annotations are invalid are dropped from them, as the specification demands of HTTP clients
(Streamable HTTP, Request Metadata).
"""

from __future__ import annotations

from typing import Any

from .mirrored_headers import InvalidAnnotationError, Mirrored, mirrored_arguments, request_headers


class Mirror:
    def __init__(self) -> None:
        self._tools: dict[str, tuple[Mirrored, ...]] = {}

    def headers(self, method: str, params: dict[str, Any]) -> list[tuple[str, str]]:
        name = params.get("name") if method == "tools/call" else None
        known = self._tools.get(name, ()) if isinstance(name, str) else ()
        return request_headers(method, params, known)

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
                    self._tools[name] = mirrored_arguments(tool.get("inputSchema"))
                except InvalidAnnotationError as error:
                    dropped.append((name, str(error)))
                    continue
            kept.append(tool)
        if dropped:
            result["tools"] = kept
        return dropped
