"""The command line: every setting is an option too, made from the settings themselves."""

from __future__ import annotations

import sys
from typing import Any

import click

from . import __version__
from ._common.last_answers import LastAnswers
from ._common.one_line import Service
from ._common.serving import CannotListenError, listen, serve, server
from ._common.setting_options import options
from ._common.settings import SettingsError
from .app import GRACE, NAME, create_app
from .settings import Settings


@click.command(name=NAME, cls=Service)
@options(Settings, implied="fetch_")
@click.version_option(__version__, prog_name=NAME)
def main(**given: Any) -> None:
    """MCP server over Streamable HTTP that fetches pages of the public web, and only those.

    Its endpoint is /mcp, its health check /health, its metrics /metrics. An option wins over the environment
    variable of the same setting.
    """
    try:
        settings = Settings.load(**given)
        log_level = "debug" if settings.debug else "info"
        app = LastAnswers(create_app(settings))
        served = server(
            app, grace=GRACE, drain=settings.drain, at_end=app.end, http="h11", log_level=log_level
        )
        serve(served, listen(settings.bind_host, settings.port))
    except (SettingsError, CannotListenError) as error:
        click.echo(f"{NAME}: {error}", err=True)
        sys.exit(2)
