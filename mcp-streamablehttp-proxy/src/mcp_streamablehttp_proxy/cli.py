"""Command line: `mcp-streamablehttp-proxy [options] -- command args...`."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any, Literal

import click

from . import __version__, logs
from .app import DEFAULT_NAME, create_app
from .config import read_servers
from .serve import listen, serve
from .settings import LOOPBACK_HOSTS, MIB, Server, Settings, SettingsError

log = logging.getLogger(__name__)

_HOSTS = ",".join(LOOPBACK_HOSTS)


def _list(_: click.Context, __: click.Parameter, value: str) -> tuple[str, ...]:
    return tuple(entry.strip() for entry in value.split(",") if entry.strip())


def _environment(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """NAME=VALUE sets a variable, NAME alone passes the proxy's own on."""
    found = {}
    for entry in values:
        name, equals, value = entry.partition("=")
        if not equals and name not in os.environ:
            raise click.BadParameter(f"variable {name} is not set")
        found[name] = value if equals else os.environ[name]
    return found


@click.command(
    context_settings={
        "allow_interspersed_args": False,
        "auto_envvar_prefix": "MCP_PROXY",
        "show_default": True,
        "help_option_names": ["-h", "--help"],
    }
)
@click.version_option(__version__)
@click.option("--host", envvar="MCP_BIND_HOST", default="127.0.0.1", help="Address to listen on.")
@click.option("--port", envvar="MCP_PORT", default=3000, help="Port to listen on; 0 takes a free one.")
@click.option(
    "--allowed-hosts",
    envvar="MCP_ALLOWED_HOSTS",
    default=_HOSTS,
    callback=_list,
    help="Host names served, comma-separated; *.example.com and host:port work, * is all.",
)
@click.option(
    "--allowed-origins",
    envvar="MCP_ALLOWED_ORIGINS",
    default=_HOSTS,
    callback=_list,
    help="Web origins admitted, comma-separated, in the same form.",
)
@click.option(
    "--trust-identity",
    envvar="MCP_TRUST_IDENTITY",
    default=False,
    type=bool,
    is_flag=True,
    help="Believe X-User-Id: only behind a gateway that sets it and strips the client's own.",
)
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Serve the servers of this mcpServers file, each at /NAME/mcp; read again on SIGHUP.",
)
@click.option(
    "--isolation",
    type=click.Choice(["session", "user", "shared"]),
    default="session",
    help="Who shares a server process: nobody, the sessions of one user, or all.",
)
@click.option("--prewarm", default=0, help="Server processes kept started ahead.")
@click.option("--max-children", default=64, help="Server processes at most.")
@click.option("--max-sessions", default=10_000, help="Sessions at most.")
@click.option("--wait", default=10.0, help="Seconds to wait for a free process before 503.")
@click.option("--timeout", "idle_timeout", default=300.0, help="Seconds until an idle session is closed.")
@click.option("--start-timeout", default=120.0, help="Seconds a server has to answer initialize.")
@click.option("--request-timeout", default=600.0, help="Seconds a server has to answer a request.")
@click.option("--stop-timeout", default=5.0, help="Seconds from a process's end asked to SIGKILL.")
@click.option("--cwd", type=click.Path(exists=True, file_okay=False), help="Working directory.")
@click.option(
    "--env",
    multiple=True,
    callback=_environment,
    metavar="NAME[=VALUE]",
    help="A variable for the server; NAME alone passes the proxy's own on.",
)
@click.option("--memory", type=int, help="Address space of a server process, MiB.")
@click.option("--cpu", type=int, help="CPU time of a server process, seconds.")
@click.option("--max-line", default=64, help="Longest line a server may write, MiB.")
@click.option("--max-body", default=4.0, help="Largest request body, MiB.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info")
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default=None,
    show_default="text on a terminal, else json",
)
@click.option("--log-file", envvar="LOG_FILE", help="Also write the log to this file.")
@click.option("--log-bodies", is_flag=True, help="Log every message whole. They may hold secrets.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def main(
    host: str,
    port: int,
    allowed_hosts: tuple[str, ...],
    allowed_origins: tuple[str, ...],
    trust_identity: bool,
    config: Path | None,
    max_body: float,
    max_line: int,
    memory: int | None,
    log_level: str,
    log_format: Literal["text", "json"] | None,
    log_file: str | None,
    command: tuple[str, ...],
    **options: Any,
) -> None:
    """Serve a stdio MCP server over Streamable HTTP.

    Everything after -- is the server's command and is passed on untouched.
    """
    options["max_line"] = max_line * MIB
    options["memory"] = None if memory is None else memory * MIB

    def servers() -> tuple[Server, ...]:
        if config is not None:
            return read_servers(config, options)
        return (Server(name=DEFAULT_NAME, command=command, **options),)

    try:
        if bool(command) == (config is not None):
            raise SettingsError("give either a command after -- or --config FILE")  # noqa: TRY301
        settings = Settings(
            host=host,
            port=port,
            allowed_hosts=allowed_hosts,
            allowed_origins=allowed_origins,
            trust_identity=trust_identity,
            max_body=int(max_body * MIB),
        )
        app = create_app(servers=servers(), settings=settings)
        sock = listen(host, port)
    except SettingsError as problem:
        click.echo(f"mcp-streamablehttp-proxy: {problem}", err=True)
        sys.exit(2)
    logs.configure(log_level, log_format or ("text" if sys.stderr.isatty() else "json"), log_file)
    address, bound = sock.getsockname()[:2]
    log.info("listening", extra={"address": address, "port": bound, "servers": list(app.hub.endpoints)})
    serve(app, sock, on_hangup=(lambda: app.hub.reload(servers)) if config else None)
