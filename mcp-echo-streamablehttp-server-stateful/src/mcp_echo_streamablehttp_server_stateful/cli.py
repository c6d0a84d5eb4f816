from __future__ import annotations

import logging
import sys
from typing import Any

import click
from mcp_echo_streamablehttp_server_stateless._common.last_answers import LastAnswers
from mcp_echo_streamablehttp_server_stateless._common.one_line import Service
from mcp_echo_streamablehttp_server_stateless._common.serving import CannotListenError, listen, serve, server
from mcp_echo_streamablehttp_server_stateless._common.setting_options import options
from mcp_echo_streamablehttp_server_stateless._common.settings import SettingsError
from mcp_echo_streamablehttp_server_stateless.app import GRACE

from . import __version__
from .app import NAME, create_app
from .settings import Settings


@click.command(name=NAME, cls=Service)
@options(Settings)
@click.version_option(__version__, prog_name=NAME)
def main(**given: Any) -> None:
    """Diagnostic MCP server over Streamable HTTP, with sessions and state.

    Its endpoint is /mcp, its health check /health, its metrics /metrics. An option wins over the environment
    variable of the same setting.
    """
    try:
        settings = Settings.load(**given)
        # The SDK names whole session ids in its messages, and an id opens its session.
        logging.getLogger("mcp.server").setLevel(logging.ERROR)
        log_level = "debug" if settings.debug else "info"
        app = LastAnswers(create_app(settings))
        served = server(
            app, grace=GRACE, drain=settings.drain, at_end=app.end, http="h11", log_level=log_level
        )
        serve(served, listen(settings.bind_host, settings.port))
    except (SettingsError, CannotListenError) as error:
        click.echo(f"{NAME}: {error}", err=True)
        sys.exit(2)
