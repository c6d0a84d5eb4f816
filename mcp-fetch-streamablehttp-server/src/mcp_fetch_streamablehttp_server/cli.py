import sys

import click

from .app import NAME, create_app
from .serve import CannotListen, serve
from .settings import Settings, SettingsError
from .version import __version__


@click.command(name=NAME)
@click.option("--host", help="Address to listen on. [MCP_BIND_HOST, default 127.0.0.1]")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Port to listen on, 0 for any. [MCP_PORT, default 3000]"
)
@click.option("--debug", is_flag=True, default=None, help="Log more. [MCP_DEBUG]")
@click.version_option(__version__, prog_name=NAME)
def main(host: str | None, port: int | None, debug: bool | None) -> None:
    """MCP server over Streamable HTTP that fetches pages of the public web, and only those.

    Its endpoint is /mcp, its health check /health. The other settings are environment
    variables, MCP_ALLOWED_HOSTS, MCP_ALLOWED_ORIGINS and MCP_FETCH_*: see the README.
    """
    try:
        settings = Settings.load(bind_host=host, port=port, debug=debug)
        serve(create_app(settings), settings.bind_host, settings.port, debug=settings.debug)
    except SettingsError as error:
        click.echo(f"{NAME}: {error}", err=True)
        sys.exit(2)
    except CannotListen as error:
        click.echo(f"{NAME}: {error}", err=True)
        sys.exit(1)
