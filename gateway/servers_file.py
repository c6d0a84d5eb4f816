"""A person's own stdio servers for a local run, in the `mcpServers` form that Claude Desktop uses."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from mcp_streamablehttp_proxy.config import read_servers
from mcp_streamablehttp_proxy.settings import Server, SettingsError

NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")


class ServersFileError(Exception):
    """The file cannot be used; the message is one line that says where and what it must be."""


def own_servers(path: Path, taken: Collection[str]) -> list[Server]:
    """The servers of a file. Raises ServersFileError; `taken` are the names that others have."""
    try:
        servers = read_servers(path, {})
    except SettingsError as error:
        raise ServersFileError(str(error)) from None
    for server in servers:
        where = f"{path}: server {server.name}"
        if not NAME.fullmatch(server.name) or server.name in taken:
            raise ServersFileError(
                f"{where} needs a name of its own, of lower-case letters, digits and hyphens, for its address"
            )
        if server != Server(name=server.name, command=server.command, env=server.env, cwd=server.cwd):
            raise ServersFileError(f"{where}: a local run knows command, args, env and cwd only")
    return list(servers)
