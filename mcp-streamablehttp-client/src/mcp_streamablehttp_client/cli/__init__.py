"""The command line. Commands are imported when used: a bridge has to start at once."""

from __future__ import annotations

import logging
import os
import sys
from importlib import import_module

import click

from .. import __version__
from ..errors import ClientError, causes, describe
from ..terminal import say

log = logging.getLogger(__name__)

NAME = "mcp-streamablehttp-client"
_COMMANDS = {
    "run": "run",
    "login": "login",
    "logout": "account",
    "status": "account",
    "tools": "tools",
    "call": "call",
    "resources": "resources",
    "read": "resources",
    "subscribe": "subscribe",
    "prompts": "prompts",
    "prompt": "prompts",
    "complete": "complete",
    "raw": "raw",
    "shell": "shell",
    "doctor": "doctor",
    "install": "install",
    "uninstall": "install",
    "client": "client",
    "completion": "completion",
}
_EARLIER_NAMES = {"bridge": "run"}


class _Commands(click.Group):
    """`URL` alone means `run URL`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args and os.environ.get("MCP_SERVER_URL"):
            args = ["run"]
        elif args and args[0] not in (*_COMMANDS, *_EARLIER_NAMES, "--help", "--version"):
            args = ["run", *args]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        cmd_name = _EARLIER_NAMES.get(cmd_name, cmd_name)
        if cmd_name not in _COMMANDS:
            return None
        module = import_module(f"{__name__}.{_COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, cmd_name)
        return command


@click.group(
    cls=_Commands,
    no_args_is_help=True,
    epilog="With only a URL (or MCP_SERVER_URL set) it is a bridge: a stdio MCP server for hosts "
    "such as Claude Desktop.",
)
@click.version_option(__version__, prog_name=NAME)
def commands() -> None:
    """Use a remote MCP server (Streamable HTTP, OAuth included) from stdio hosts and by hand."""


def main() -> None:
    """The console script. Nobody sees a traceback: every failure is one line on stderr."""
    try:
        commands(prog_name=NAME)
    except ClientError as error:
        say(f"{NAME}: {error}", err=True)
        log.debug("the reason%s", causes(error))
        sys.exit(1)
    except Exception as error:
        say(f"{NAME}: unexpected: {describe(error)}", err=True)
        sys.exit(1)
