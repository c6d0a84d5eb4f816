"""A person's own servers in a local run: files as any MCP client writes them, or one line of a shell.

The proxy reads the files, here for their names and in each server's own process for all the rest.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from mcp_oauth_dynamicclient.public import INTERNAL_PATHS, OWN_PATHS
from mcp_streamablehttp_proxy._common.settings import SettingsError
from mcp_streamablehttp_proxy.config import read_servers
from mcp_streamablehttp_proxy.config.document import entries

from .state import write_private

NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
RESERVED = frozenset({"auth", "traefik", "tunnel", "gateway", *OWN_PATHS, *INTERNAL_PATHS})
"""What no server can be called: paths of the authorization server's, and what logs are called."""
RUNNERS = frozenset(
    ("npx", "npm", "pnpm", "pnpx", "bunx", "bun", "yarn", "node", "deno", "uvx", "uv", "pipx", "python",
     "python3", "docker", "podman", "run", "exec", "tool", "dlx", "x", "env")
)  # fmt: skip
"""Words of a command that start a server and do not name it."""
VALUED = frozenset(
    ("-e", "--env", "-v", "--volume", "--mount", "--network", "--name", "-p", "--package", "--python",
     "--with", "--from", "-c")
)  # fmt: skip
"""Options whose next word is theirs."""


class ServersFileError(Exception):
    """The file cannot be used; the message is one line that says where and what it must be."""


@dataclass(frozen=True)
class OwnServer:
    name: str
    """In its address."""
    file: Path
    entry: str
    """What the proxy calls it, by the file."""


@dataclass(frozen=True)
class OwnServers:
    servers: tuple[OwnServer, ...] = ()
    problems: Mapping[str, str] = field(default_factory=dict)
    """Reason by name, for entries that cannot be served."""
    notes: tuple[str, ...] = ()


def find(files: Sequence[Path], taken: Collection[str]) -> OwnServers:
    """The servers of all the files that are there. `taken` are the names that others have.

    Raises ServersFileError.
    """
    servers: list[OwnServer] = []
    problems: dict[str, str] = {}
    notes: list[str] = []
    for path in files:
        try:
            read = read_servers(path, {})
        except SettingsError as error:
            raise ServersFileError(str(error)) from error
        notes += read.notes
        problems |= {name: f"{path}: {reason}" for name, reason in read.broken.items()}
        for server in read.servers:
            name = re.sub("[._]+", "-", server.name.lower())
            if not NAME.fullmatch(name) or name in (*taken, *RESERVED, *(other.name for other in servers)):
                raise ServersFileError(
                    f"{path}: server {name} needs a name of its own, of letters, digits and hyphens, for its "
                    "address"
                )
            servers.append(OwnServer(name, path, server.name))
    return OwnServers(tuple(servers), problems, tuple(notes))


def kept(path: Path) -> dict[str, Any]:
    """The entries of the file that `add` and `remove` change; none where it is not there."""
    if not path.exists():
        return {}
    try:
        return dict(entries(path))
    except SettingsError as error:
        raise ServersFileError(str(error)) from error


def keep(path: Path, servers: Mapping[str, Any]) -> None:
    """Values may be secret, so only its owner can read the file."""
    if servers:
        write_private(path, json.dumps({"mcpServers": servers}, indent=2) + "\n")
    else:
        path.unlink(missing_ok=True)


def refuse_name(name: str, taken: Collection[str]) -> None:
    """Raises ServersFileError for a name that no address can have, or that is another's."""
    if not NAME.fullmatch(name):
        raise ServersFileError(
            f"{name!r} is no name: lower-case letters, digits and hyphens, as in my-server"
        )
    if name in taken or name in RESERVED:
        raise ServersFileError(f"the name {name} is taken; choose another")


def name_of(command: Sequence[str], taken: Collection[str] = ()) -> str:
    """What a server is called if nobody says: by the package, image or file that its command names."""
    words = list(command)
    named = words[0]
    while words:
        word = words.pop(0)
        if word in VALUED:
            words[:1] = []
        elif not word.startswith("-") and "=" not in word.partition("==")[0] and plain(word) not in RUNNERS:
            named = word
            break
    name = _without_affixes(plain(named)) or "server"
    found, number = name, 2
    while found in taken or found in RESERVED:
        found, number = f"{name}-{number}", number + 1
    return found


def plain(word: str) -> str:
    """A package, image or path without scope, folder, version, tag and ending."""
    word = re.sub(r"(?<=.)(@|==|:).*$", "", PurePosixPath(word).name.lower())
    word = re.sub(r"\.(py|js|mjs|cjs|ts|sh|exe)$", "", word)
    return re.sub(r"[^a-z0-9]+", "-", word).strip("-")[:60]


def _without_affixes(name: str) -> str:
    kept_words = [word for word in name.split("-") if word not in ("mcp", "server", "modelcontextprotocol")]
    return "-".join(kept_words)


def complain(problem: str) -> None:
    print(f"run: {problem}", file=sys.stderr)
