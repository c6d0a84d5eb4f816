"""The command line: every setting is an option too, made from the settings themselves."""

from __future__ import annotations

from typing import Any

import click

from . import __version__
from ._common.native_server import run
from ._common.one_line import Service
from ._common.setting_options import options
from .app import NAME, create_app
from .settings import Settings


@click.command(name=NAME, cls=Service)
@options(Settings, implied="fetch_")
@click.version_option(__version__, prog_name=NAME)
def main(**given: Any) -> None:
    """MCP server over Streamable HTTP that fetches pages of the public web, and only those.

    Its endpoint is /mcp, its health check /health, its metrics /metrics. An option wins over the environment
    variable of the same setting.
    """
    settings = Settings.load(**given)
    run(create_app(settings), settings)
