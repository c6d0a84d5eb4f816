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
@options(Settings)
@click.version_option(__version__, prog_name=NAME)
def main(**given: Any) -> None:
    """Diagnostic MCP server over Streamable HTTP, without state.

    Its endpoint is /mcp, its health check /health, its metrics /metrics. An option wins over the environment
    variable of the same setting.
    """
    settings = Settings.load(**given)
    run(create_app(settings), settings)
