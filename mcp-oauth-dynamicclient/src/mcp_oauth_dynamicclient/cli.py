"""`mcp-oauth-server`: serve, and look after what is stored."""

from __future__ import annotations

import asyncio
import gc
from importlib import import_module

import click

from . import __version__
from .commands.running import UnusableSettingsError, usable_settings
from .errors import SettingsError, StoreUnavailableError

GROUPS = {
    "users": "users", "clients": "clients", "tokens": "tokens", "keys": "keys",
    "backup": "backup", "restore": "backup", "check": "check", "operator-passes": "operator_passes",
}  # fmt: skip
"""Commands by the module that holds them; read when they are used, so that `--help` needs no server."""


class Commands(click.Group):
    """`serve` is what happens when no command is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in ("--help", "-h", "--version")):
            args = ["serve", *args]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return ["serve", *GROUPS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in GROUPS:
            return super().get_command(ctx, cmd_name)
        command = getattr(
            import_module(f".commands.{GROUPS[cmd_name]}", __package__), cmd_name.replace("-", "_")
        )
        assert isinstance(command, click.Command)
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="mcp-oauth-server")
def main() -> None:
    """OAuth 2.1 authorization server and ForwardAuth endpoint for MCP servers.

    Settings come from the environment; README.md lists them.
    """


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535))
@click.option(
    "--log-level",
    default="info",
    show_default=True,
    type=click.Choice(["debug", "info", "warning", "error"]),
)
@click.option(
    "--drain",
    default=0,
    show_default=True,
    type=click.IntRange(0, 60),
    help="Seconds from SIGTERM to the end in which everything is still answered, and /live soon says 503.",
)
def serve(host: str, port: int, log_level: str, drain: int) -> None:
    """Run the server (the default command)."""
    from ._common import telemetry
    from .app import create_app
    from .serve import run
    from .store import open_store

    settings = usable_settings()

    async def probe() -> None:
        store = open_store(settings.store_address)
        try:
            await store.ping()
        finally:
            await store.close()

    try:
        telemetry.configure("mcp-oauth-dynamicclient")
        asyncio.run(probe())
        app = create_app(settings)
    except StoreUnavailableError as error:
        reason = error.__cause__
        click.echo(
            f"mcp-oauth-server: the store cannot be reached yet ({reason}); until it is, 503", err=True
        )
        app = create_app(settings)
    except SettingsError as error:
        raise UnusableSettingsError(str(error)) from error
    gc.collect()
    gc.freeze()  # what was loaded at the start stays; no collection need look at it again
    run(app, settings, host=host, port=port, log_level=log_level, drain=drain)
