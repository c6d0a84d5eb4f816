"""How people connect each client to a server: the lines they copy."""

from __future__ import annotations

import base64
import ipaddress
import json
import re
import shlex
from dataclasses import dataclass
from urllib.parse import quote, urlencode, urlsplit

from ..bridge_wheel import NOT_OLDER

CLOUD_NOTE = (
    "This client connects from its maker's own servers, which cannot reach this address: it works once the"
    " gateway has a public https address."
)


@dataclass(frozen=True, slots=True)
class Step:
    text: str
    code: str = ""


@dataclass(frozen=True, slots=True)
class Way:
    client: str
    steps: tuple[Step, ...]
    note: str = ""
    link: str = ""
    """Opens the client, which asks whether to add the server."""


def label_of(name: str) -> str:
    """A server's name as clients take it: one word."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-") or "server"


def claude_code_line(name: str, url: str) -> str:
    return f"claude mcp add --transport http {label_of(name)} {shlex.quote(url)}"


def vs_code_link(name: str, url: str) -> str:
    return "vscode:mcp/install?" + quote(
        json.dumps({"name": label_of(name), "type": "http", "url": url}), safe=""
    )


def cursor_link(name: str, url: str) -> str:
    config = base64.b64encode(json.dumps({"url": url}).encode()).decode()
    return "cursor://anysphere.cursor-deeplink/mcp/install?" + urlencode(
        {"name": label_of(name), "config": config}
    )


def ways_to_connect(name: str, url: str, install: str = NOT_OLDER) -> list[Way]:
    """`install` is the line that installs the bridge."""
    label = label_of(name)
    note = "" if _reachable_from_internet(url) else CLOUD_NOTE
    ways = [
        Way(
            "Claude",
            (
                Step(
                    "In claude.ai or Claude Desktop: Settings, Connectors, Add custom connector; paste:",
                    url,
                ),
                Step("Press Connect and approve. The connector then works in the mobile apps too."),
            ),
            note,
        ),
        Way(
            "Claude Code",
            (
                Step("In a terminal:", claude_code_line(name, url)),
                Step("Then, inside Claude Code, choose the server and Authenticate:", "/mcp"),
            ),
        ),
        Way(
            "ChatGPT",
            (
                Step("Turn on Developer mode: Settings, Apps & Connectors, Advanced settings."),
                Step("Press Create, choose OAuth, and paste as the MCP server URL:", url),
            ),
            note,
        ),
        Way(
            "VS Code",
            (
                Step(
                    "In a terminal (or put the same entry into .vscode/mcp.json, under “servers”):",
                    "code --add-mcp " + shlex.quote(json.dumps({"name": label, "type": "http", "url": url})),
                ),
                Step("Start the server in the Extensions view; VS Code opens the browser to sign in."),
            ),
            link=vs_code_link(name, url),
        ),
        Way(
            "Cursor",
            (
                Step(
                    "In ~/.cursor/mcp.json, or .cursor/mcp.json in a project:",
                    json.dumps({"mcpServers": {label: {"url": url}}}, indent=2),
                ),
                Step("Then Cursor Settings, MCP: press Login beside the server."),
            ),
            link=cursor_link(name, url),
        ),
        Way(
            "Any stdio client, through the bridge",
            (
                Step(
                    "Install the bridge (with pipx in place of pip, where the system's Python refuses),"
                    " and sign in once:",
                    _bridge_commands(url, install),
                ),
                Step(
                    "Then, for example in claude_desktop_config.json:",
                    json.dumps(
                        {"mcpServers": {label: {"command": "mcp-streamablehttp-client", "args": [url]}}},
                        indent=2,
                    ),
                ),
            ),
        ),
    ]
    return sorted(ways, key=lambda way: bool(way.note))


def _bridge_commands(url: str, install: str) -> str:
    return f"{install}\nmcp-streamablehttp-client login {shlex.quote(url)}"


def _reachable_from_internet(url: str) -> bool:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme != "https" or host == "localhost" or host.endswith((".localhost", ".local", ".internal")):
        return False
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return True
