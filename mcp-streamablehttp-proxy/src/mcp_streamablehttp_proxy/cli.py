"""Command line: `mcp-streamablehttp-proxy [options] -- command args...`."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import Any, Literal

import click

from . import __version__, logs
from ._common import telemetry
from ._common.one_line import Service
from ._common.public_url import PublicUrl
from ._common.replica_set import replica_settings
from ._common.serving import listen
from ._common.settings import SettingsError, comma_list
from .api_keys import api_keys
from .app import create_app
from .config import Configuration, read_servers
from .config.schema import schema
from .serve import serve
from .servers import DEFAULT_NAME
from .settings import LOOPBACK_HOSTS, MIB, Server, Settings

log = logging.getLogger(__name__)

_NAME = "mcp-streamablehttp-proxy"
_HOSTS = ",".join(LOOPBACK_HOSTS)


def _list(_: click.Context, __: click.Parameter, value: str) -> tuple[str, ...]:
    return tuple(comma_list(value))


def _public_url(_: click.Context, __: click.Parameter, value: str | None) -> PublicUrl | None:
    try:
        return PublicUrl.parse(value) if value else None
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _print_schema(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(json.dumps(schema(), indent=2))
        context.exit()


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
    _NAME,
    cls=Service,
    context_settings={
        "allow_interspersed_args": False,
        "auto_envvar_prefix": "MCP_PROXY",
        "show_default": True,
        "help_option_names": ["-h", "--help"],
    },
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
    "--cors-origins",
    envvar="MCP_CORS_ORIGINS",
    default="",
    show_default="none",
    callback=_list,
    help="Web origins admitted whose pages may also read answers (CORS), in the same form.",
)
@click.option(
    "--api-key",
    "keys",
    envvar="MCP_API_KEY",
    multiple=True,
    metavar="[NAME:]KEY",
    help="Every request needs one of these keys; better in the variable, where others do not see it.",
)
@click.option(
    "--api-key-file",
    envvar="MCP_API_KEY_FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file of such keys, one a line.",
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
    "--public-url",
    envvar="MCP_PUBLIC_URL",
    callback=_public_url,
    help="This proxy's own address, such as https://time.example.com/mcp.",
)
@click.option(
    "--identity-url",
    envvar="MCP_IDENTITY_URL",
    help="Where the gateway gives its keys; with it every request needs the gateway's signed statement.",
)
@click.option(
    "--replicas",
    envvar="MCP_REPLICAS",
    help="Of several instances: a DNS name of all with the port, such as tasks.time:3000.",
)
@click.option(
    "--replica-address",
    envvar="MCP_REPLICA_ADDRESS",
    show_default="found out",
    help="This instance's own address and port there.",
)
@click.option(
    "--replica-secret-file",
    envvar="MCP_REPLICA_SECRET_FILE",
    help="What only the instances of this service share (or MCP_REPLICA_SECRET), 32 characters or more.",
)
@click.option(
    "--drain",
    envvar="MCP_DRAIN",
    default=0.0,
    help="Seconds of serving on after SIGTERM, with 503 at /health so that other replicas take over.",
)
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Serve this mcpServers file, each server at /NAME/mcp; read again on a change or SIGHUP.",
)
@click.option("--only", metavar="NAME", help="Of that file serve this server alone, at /mcp.")
@click.option(
    "--config-schema",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_schema,
    help="Print the JSON schema of that file.",
)
@click.option(
    "--sse",
    envvar="MCP_SSE",
    is_flag=True,
    help="Serve HTTP+SSE at /NAME/sse, too, for clients of 2024-11-05.",
)
@click.option("--combine", is_flag=True, help="Serve all servers of the file together at /mcp, too, as one.")
@click.option("--name", default=DEFAULT_NAME, help="What messages and metrics call the command's server.")
@click.option(
    "--isolation",
    type=click.Choice(["session", "user", "shared"]),
    default="session",
    help="Who shares a server process: nobody, the sessions of one user, or all.",
)
@click.option(
    "--stateless",
    is_flag=True,
    help="The server keeps nothing between calls: each takes a process of its own.",
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
@click.option("--memory", type=int, help="Memory that a server and what it starts may use, MiB.")
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
    cors_origins: tuple[str, ...],
    keys: tuple[str, ...],
    api_key_file: Path | None,
    trust_identity: bool,
    public_url: PublicUrl | None,
    identity_url: str | None,
    replicas: str | None,
    replica_address: str | None,
    replica_secret_file: str | None,
    drain: float,
    config: Path | None,
    sse: bool,
    combine: bool,
    max_body: float,
    max_line: int,
    memory: int | None,
    log_level: str,
    log_format: Literal["text", "json"] | None,
    log_file: str | None,
    name: str,
    only: str | None,
    command: tuple[str, ...],
    **options: Any,
) -> None:
    """Serve a stdio MCP server over Streamable HTTP.

    Everything after -- is the server's command and is passed on untouched.
    """
    options["max_line"] = max_line * MIB
    options["memory"] = None if memory is None else memory * MIB

    if bool(command) == (config is not None):
        raise SettingsError("give either a command after -- or --config FILE")
    if only is not None and config is None:
        raise SettingsError("--only needs --config")
    settings = Settings(
        host=host,
        port=port,
        allowed_hosts=allowed_hosts,
        allowed_origins=allowed_origins,
        cors_origins=cors_origins,
        api_keys=api_keys(keys, api_key_file),
        trust_identity=trust_identity,
        public_url=public_url,
        identity_url=identity_url or None,
        sse=sse,
        replicas=replica_settings(
            replicas, replica_address, os.environ.get("MCP_REPLICA_SECRET"), replica_secret_file, port
        ),
        drain=drain,
        combine=combine,
        max_body=int(max_body * MIB),
    )

    def read() -> Configuration:
        if config is not None:
            found = read_servers(config, options, settings)
            return found if only is None else found.only(only, config)
        return Configuration((Server(name=name, alone=True, command=command, **options),))

    telemetry.configure(_NAME)
    configuration = read()
    app = create_app(servers=configuration.servers, settings=settings)
    app.hub.broken = configuration.broken
    sock = listen(host, port)
    logs.configure(log_level, log_format or ("text" if sys.stderr.isatty() else "json"), log_file)
    configuration.report()
    if config is not None:
        app.hub.follow(config, read)
    address, bound = sock.getsockname()[:2]
    log.info("listening", extra={"address": address, "port": bound, "servers": list(app.hub.endpoints)})
    serve(app, sock, on_hangup=(lambda: app.hub.reload(read)) if config else None)
