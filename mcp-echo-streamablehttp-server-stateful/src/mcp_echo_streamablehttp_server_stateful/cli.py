import sys

import click
from mcp_echo_streamablehttp_server_stateless.serve import CannotListen, serve
from mcp_echo_streamablehttp_server_stateless.settings import SettingsError

from .app import NAME, create_app
from .settings import Settings
from .version import __version__


@click.command(name=NAME)
@click.option("--host", help="Address to listen on. [MCP_BIND_HOST, default 127.0.0.1]")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Port to listen on, 0 for any. [MCP_PORT, default 3000]"
)
@click.option("--debug", is_flag=True, default=None, help="Log more. [MCP_DEBUG]")
@click.option(
    "--session-timeout", type=float, help="Idle seconds to keep a session. [MCP_SESSION_TIMEOUT, 3600]"
)
@click.version_option(__version__, prog_name=NAME)
def main(host: str | None, port: int | None, debug: bool | None, session_timeout: float | None) -> None:
    """Diagnostic MCP server over Streamable HTTP: eleven tools, sessions and state.

    Its endpoint is /mcp, its health check /health. The other settings are environment
    variables: MCP_ALLOWED_HOSTS, MCP_ALLOWED_ORIGINS, MCP_TRUST_IDENTITY, MCP_MAX_SESSIONS.
    """
    try:
        settings = Settings.load(bind_host=host, port=port, debug=debug, session_timeout=session_timeout)
        serve(create_app(settings), settings.bind_host, settings.port, debug=settings.debug)
    except SettingsError as error:
        click.echo(f"{NAME}: {error}", err=True)
        sys.exit(2)
    except CannotListen as error:
        click.echo(f"{NAME}: {error}", err=True)
        sys.exit(1)
