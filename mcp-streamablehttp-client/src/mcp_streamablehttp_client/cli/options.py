"""Options shared by the commands that talk to a server."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from ..errors import ClientError
from ..logs import set_up
from ..settings import Settings, header, header_file, read_text, server_url


def url_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.argument("url", envvar="MCP_SERVER_URL", callback=_checked(server_url))(command)


def connection(command: Callable[..., Any]) -> Callable[..., Any]:
    """URL and options; the command gets them as one Settings, its first argument."""

    @wraps(command)
    def with_settings(
        url: str,
        headers: tuple[tuple[str, str], ...],
        header_files: tuple[list[tuple[str, str]], ...],
        client_id: str | None,
        client_secret: str | None,
        client_secret_file: str | None,
        client_metadata_url: str | None,
        scope: str | None,
        callback_port: int,
        timeout: float,
        verbose: bool,
        **rest: Any,
    ) -> Any:
        set_up(verbose=verbose)
        secret = client_secret_file or client_secret
        if secret and not client_id:
            raise click.UsageError("--client-secret needs --client-id.")
        settings = Settings(
            server_url=url,
            headers=(*(pair for pairs in header_files for pair in pairs), *headers),
            client_id=client_id,
            client_secret=secret,
            client_metadata_url=client_metadata_url,
            scope=scope,
            callback_port=callback_port,
            timeout=timeout,
        )
        return command(settings, **rest)

    for option in reversed(_OPTIONS):
        with_settings = option(with_settings)
    return url_argument(with_settings)


def _checked(check: Callable[[Any], Any]) -> Callable[..., Any]:
    """A click callback that turns ClientError into a usage error (exit status 2)."""

    def callback(ctx: click.Context, parameter: click.Parameter, value: Any) -> Any:
        try:
            if parameter.multiple:
                return tuple(check(item) for item in value)
            return check(value) if value is not None else None
        except ClientError as error:
            raise click.BadParameter(str(error), ctx, parameter) from None

    return callback


def _metadata_url(text: str) -> str:
    if not text.startswith("https://") or text.count("/") < 3:
        raise ClientError("A client metadata document has an https address with a path.")
    return text


_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_OPTIONS = (
    click.option(
        "--header",
        "headers",
        multiple=True,
        metavar='"NAME: VALUE"',
        callback=_checked(header),
        help="Send this header with every request to the server. Repeatable.",
    ),
    click.option(
        "--header-file",
        "header_files",
        multiple=True,
        type=_FILE,
        callback=_checked(header_file),
        help="Read such headers from a file, one a line; keeps secrets out of the process list.",
    ),
    click.option(
        "--client-id",
        envvar="MCP_CLIENT_ID",
        help="Client id registered beforehand with the authorization server.",
    ),
    click.option(
        "--client-secret",
        envvar="MCP_CLIENT_SECRET",
        help="Its secret, if it has one; better in a file or in MCP_CLIENT_SECRET.",
    ),
    click.option(
        "--client-secret-file",
        type=_FILE,
        callback=_checked(lambda path: read_text(path).strip()),
        help="File that holds the client secret.",
    ),
    click.option(
        "--client-metadata-url",
        metavar="URL",
        callback=_checked(_metadata_url),
        help="Address of a client metadata document to use as client id where supported.",
    ),
    click.option("--scope", help="Scopes to ask for, instead of those the server names."),
    click.option(
        "--callback-port",
        type=click.IntRange(0, 65535),
        default=0,
        help="Port on 127.0.0.1 for the end of the sign-in; 0 takes any free one.",
    ),
    click.option(
        "--timeout",
        type=click.FloatRange(min=0.1),
        envvar="REQUEST_TIMEOUT",
        default=300.0,
        show_default=True,
        metavar="SECONDS",
        help="Give up on a request after this long without a sign of life from the server.",
    ),
    click.option("--verbose", is_flag=True, help="Say on stderr what is going on."),
)
