"""Where each host keeps its configuration, on three systems, and in what form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Host:
    """`places` are by system, below `~` (the home) or `%` (APPDATA); `member` holds the servers;
    `more` is what an entry needs besides command and args; `restart` is how a change gets noticed."""

    title: str
    member: str
    places: Mapping[str, str]
    more: Mapping[str, Any]
    restart: str

    def entry(self, command: list[str]) -> dict[str, Any]:
        return {**self.more, "command": command[0], "args": command[1:]}


def _same(place: str) -> dict[str, str]:
    return {"linux": place, "darwin": place, "win32": place}


_STDIO = {"type": "stdio"}
HOSTS: dict[str, Host] = {
    "claude-desktop": Host(
        "Claude Desktop",
        "mcpServers",
        {
            "linux": "~/.config/Claude/claude_desktop_config.json",
            "darwin": "~/Library/Application Support/Claude/claude_desktop_config.json",
            "win32": "%/Claude/claude_desktop_config.json",
        },
        {},
        "Quit Claude Desktop and start it again.",
    ),
    "claude-code": Host(
        "Claude Code", "mcpServers", _same("~/.claude.json"), _STDIO, "Start a new session of claude."
    ),
    "vscode": Host(
        "VS Code",
        "servers",
        {
            "linux": "~/.config/Code/User/mcp.json",
            "darwin": "~/Library/Application Support/Code/User/mcp.json",
            "win32": "%/Code/User/mcp.json",
        },
        _STDIO,
        "VS Code asks whether to start it; or use MCP: List Servers.",
    ),
    "cursor": Host("Cursor", "mcpServers", _same("~/.cursor/mcp.json"), {}, "Look at Settings, MCP."),
    "windsurf": Host(
        "Windsurf",
        "mcpServers",
        _same("~/.codeium/windsurf/mcp_config.json"),
        {},
        "Press Refresh in Windsurf's list of MCP servers.",
    ),
    "zed": Host(
        "Zed",
        "context_servers",
        {
            "linux": "~/.config/zed/settings.json",
            "darwin": "~/.config/zed/settings.json",
            "win32": "%/Zed/settings.json",
        },
        {"source": "custom"},
        "Zed starts it at once.",
    ),
    "gemini": Host("Gemini CLI", "mcpServers", _same("~/.gemini/settings.json"), {}, "Start gemini again."),
}


def place_of(host: Host, system: str, home: Path, environment: Mapping[str, str]) -> Path:
    """The file; `system` is sys.platform. XDG_CONFIG_HOME, CLAUDE_CONFIG_DIR and APPDATA are respected."""
    place = host.places.get(system, host.places["linux"])
    if place == "~/.claude.json" and (directory := environment.get("CLAUDE_CONFIG_DIR")):
        return Path(directory) / ".claude.json"
    if place.startswith("~/.config/") and (directory := environment.get("XDG_CONFIG_HOME")):
        return Path(directory) / place.removeprefix("~/.config/")
    roaming = Path(environment.get("APPDATA") or home / "AppData" / "Roaming")
    return (roaming if place.startswith("%") else home) / place[2:]
