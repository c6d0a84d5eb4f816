"""The command line. Commands are imported when used: a bridge has to start at once."""

import os
import sys
from importlib import import_module

import click

from .. import __version__
from ..errors import ClientError

NAME = "mcp-streamablehttp-client"
_COMMANDS = {
    "bridge": "bridge",
    "login": "login",
    "logout": "account",
    "status": "account",
    "tools": "tools",
    "call": "call",
}


class _Commands(click.Group):
    """`URL` alone means `bridge URL`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args and os.environ.get("MCP_SERVER_URL"):
            args = ["bridge"]
        elif args and args[0] not in (*_COMMANDS, "--help", "--version"):
            args = ["bridge", *args]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
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
        click.echo(f"{NAME}: {error}", err=True)
        sys.exit(1)
    except Exception as error:
        from ..bridge import describe

        click.echo(f"{NAME}: unexpected: {describe(error)}", err=True)
        sys.exit(1)
