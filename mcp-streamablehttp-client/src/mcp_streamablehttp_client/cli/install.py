"""`install HOST URL` and `uninstall HOST URL`: the bridge in a host's configuration."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from ..hosts.editing import Change, installed, uninstalled
from ..hosts.places import HOSTS, Host, place_of
from ..settings import Settings
from ..terminal import say
from .options import connection, url_argument

_PROGRAM = "mcp-streamablehttp-client"


def _shared(command: Callable[..., Any]) -> Callable[..., Any]:
    options = click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[OPTION OF run]...")
    file = click.option(
        "--file",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Change this file instead of the host's usual one, e.g. a project's .vscode/mcp.json.",
    )
    dry = click.option("--dry-run", is_flag=True, help="Show the difference and change nothing.")
    host = click.argument("host", type=click.Choice(list(HOSTS)), metavar="|".join(HOSTS))
    return host(url_argument(options(file(dry(command)))))


@click.command(context_settings={"ignore_unknown_options": True})
@_shared
@click.option("--name", help="What the host calls the server; taken from the URL if not given.")
def install(
    host: str, url: str, options: tuple[str, ...], name: str | None, file: Path | None, dry_run: bool
) -> None:
    """Put a server, through this bridge, into a host's configuration. The difference is shown, the old
    file is kept beside the new one, and `uninstall` takes the server out again."""
    target = HOSTS[host]
    command = [*_own_command(), url, *_for_the_host(url, options)]
    change = installed(target, _place(target, file), name or name_of(url), url, command)
    _carry_out(target, change, dry_run)


@click.command(context_settings={"ignore_unknown_options": True})
@_shared
@click.option("--name", help="Only the entry that the host calls so.")
def uninstall(
    host: str, url: str, options: tuple[str, ...], name: str | None, file: Path | None, dry_run: bool
) -> None:
    """Take a server that `install` put there out of a host's configuration, and nothing else. The words that
    were said to `install` can be said again; which options the entry has makes no difference."""
    _for_the_host(url, options)
    target = HOSTS[host]
    _carry_out(target, uninstalled(target, _place(target, file), url, name), dry_run)


@click.command()
@connection
def _bridge(settings: Settings) -> None:
    """What `run` takes, and nothing done."""


def _for_the_host(url: str, options: tuple[str, ...]) -> list[str]:
    """The options with whole paths, since a host starts in a folder of its own.

    Raises click's usage error for what `run` would refuse: in the host's log nobody would look for it.
    """
    _bridge.main([url, *options], prog_name=_PROGRAM, standalone_mode=False)
    files = {name for option in _bridge.params if isinstance(option.type, click.Path) for name in option.opts}
    words = []
    for before, word in zip(("", *options), options, strict=False):
        name, is_one, path = word.partition("=")
        if before in files:
            word = str(Path(word).absolute())
        elif is_one and name in files:
            word = f"{name}={Path(path).absolute()}"
        words.append(word)
    return words


def _carry_out(host: Host, change: Change, dry_run: bool) -> None:
    if change.before == change.after:
        say(f"{change.path} says so already.")
        return
    say(change.difference)
    if dry_run:
        return
    backup = change.apply()
    say(f"{host.title}: {change.path} is changed." + (f" The old one is {backup}." if backup else ""))
    say(host.restart)


def name_of(url: str) -> str:
    """The last part of the path that says something, else the first label of the host."""
    parts = urlsplit(url)
    words = [word for word in parts.path.split("/") if word and word not in ("mcp", "sse")]
    host = parts.hostname or ""
    label = host if re.fullmatch(r"[\d.:]+", host) else host.split(".")[0]
    return re.sub(r"[^A-Za-z0-9_-]+", "-", words[-1] if words else label).strip("-") or "server"


def _place(host: Host, file: Path | None) -> Path:
    return file or place_of(host, sys.platform, Path.home(), os.environ)


def _own_command() -> list[str]:
    """By its whole path: a host that was not started from a shell has another PATH. What uvx made
    for one run is gone tomorrow."""
    if "archive-v" in sys.prefix and (uvx := shutil.which("uvx")):
        return [uvx, _PROGRAM]
    beside = shutil.which(_PROGRAM, path=str(Path(sys.executable).parent)) or shutil.which(_PROGRAM)
    return [beside] if beside else [sys.executable, "-m", "mcp_streamablehttp_client"]
