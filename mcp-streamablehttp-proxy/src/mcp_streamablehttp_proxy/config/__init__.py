"""A person's own file of servers, as Claude Desktop, Claude Code, VS Code, Cursor and Cline read it."""

from __future__ import annotations

from .read import Configuration, read_servers

__all__ = ["Configuration", "read_servers"]
