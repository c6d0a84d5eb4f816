from __future__ import annotations

import logging
from typing import Any

import click
from mcp_echo_streamablehttp_server_stateless._common.native_server import run
from mcp_echo_streamablehttp_server_stateless._common.one_line import Service
from mcp_echo_streamablehttp_server_stateless._common.setting_options import options

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
    settings = Settings.load(**given)
    # The SDK names whole session ids in its messages, and an id opens its session.
    logging.getLogger("mcp.server").setLevel(logging.ERROR)
    run(create_app(settings), settings)
