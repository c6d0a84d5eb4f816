"""The page on `/` of a server: what it is, and how to connect to it. It needs no script and no other file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


@dataclass(frozen=True)
class FrontPage:
    """`tools` are pairs of a name and what the tool does; all texts are plain."""

    name: str
    title: str
    version: str
    about: str
    tools: Sequence[tuple[str, str]]

    def html(self, endpoint: str) -> str:
        """The page of the server at this address of its endpoint."""
        short = (
            self.name.removeprefix("mcp-").removesuffix("-streamablehttp-server").split("-streamablehttp")[0]
        )
        configuration = json.dumps({"mcpServers": {short: {"type": "http", "url": endpoint}}}, indent=2)
        tools = "".join(f"<dt><code>{escape(name)}</code><dd>{escape(does)}" for name, does in self.tools)
        return (
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(self.title)}</title>'
            '<meta name="viewport" content="width=device-width"><style>'
            "body{font:1rem/1.5 system-ui;max-width:44rem;margin:2rem auto;padding:0 1rem}"
            "pre{background:#eee;color:#111;padding:.75rem;overflow-x:auto}dd{margin:0 0 .5rem 1.5rem}"
            "</style>"
            f"<h1>{escape(self.title)}</h1><p>{escape(self.about)}<p>An MCP server, {escape(self.name)} "
            f"{escape(self.version)}. Its address for clients:<pre>{escape(endpoint)}</pre>"
            "<h2>Connect</h2><p>In claude.ai, ChatGPT and most other clients, add a connector and paste that "
            "address. "
            f"Claude Code:<pre>claude mcp add --transport http {escape(short)} {escape(endpoint)}</pre>"
            f"Clients with a configuration file:<pre>{escape(configuration)}</pre>"
            f"<h2>Tools</h2><dl>{tools}</dl>"
        )
