"""Options shared by the commands that talk to a server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import click

from ..errors import ClientError
from ..http1 import tls_context
from ..logs import set_up
from ..settings import PROTOCOLS, Enterprise, Settings, header, header_file, read_text, server_url
from ..trust import SYSTEM, Trust
from . import completion

_OWN = (
    *("client_id", "client_metadata_url", "client_key", "machine"),
    *("scope", "callback_port", "timeout", "first_answer", "protocol"),
)
"""Options that Settings takes as they are."""


def url_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.argument(
        "url", envvar="MCP_SERVER_URL", callback=_checked(server_url), shell_complete=completion.urls
    )(command)


def connection(command: Callable[..., Any]) -> Callable[..., Any]:
    """URL and options; the command gets them as one Settings, its first argument."""

    @wraps(command)
    def with_settings(
        url: str,
        headers: tuple[tuple[str, str], ...],
        header_files: tuple[list[tuple[str, str]], ...],
        access_token: str | None,
        client_secret: str | None,
        client_secret_file: str | None,
        ca_file: Path | None,
        client_certificate: Path | None,
        certificate_key: Path | None,
        identity_provider: str | None,
        identity_client_id: str | None,
        identity_token: str | None,
        identity_token_file: str | None,
        verbose: bool,
        **rest: Any,
    ) -> Any:
        set_up(verbose=verbose)
        secret = client_secret_file or client_secret
        if secret and not rest["client_id"]:
            raise click.UsageError("--client-secret needs --client-id.")
        if certificate_key and not client_certificate:
            raise click.UsageError("--certificate-key needs --client-certificate.")
        if rest["client_key"] and not rest["client_id"]:
            raise click.UsageError("--client-key needs --client-id.")
        if rest["machine"] and not (rest["client_id"] and (secret or rest["client_key"])):
            raise click.UsageError("--client-credentials needs --client-id and a secret or --client-key.")
        vouched = (identity_provider, identity_client_id, identity_token_file or identity_token)
        if any(vouched) and not (all(vouched) and rest["client_id"]):
            raise click.UsageError(
                "--identity-provider needs --identity-client-id, --identity-token-file and --client-id."
            )
        own = {name: rest.pop(name) for name in _OWN}
        bearer = (("Authorization", f"Bearer {access_token}"),) if access_token else ()
        trust = Trust(ca_file, client_certificate, certificate_key)
        if trust != SYSTEM:
            tls_context(trust)  # a file that cannot be used is said now
        settings = Settings(
            server_url=url,
            headers=(*bearer, *(pair for pairs in header_files for pair in pairs), *headers),
            client_secret=secret,
            trust=trust,
            enterprise=Enterprise(*map(str, vouched)) if all(vouched) else None,
            **own,
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
            raise click.BadParameter(str(error), ctx, parameter) from error

    return callback


def _metadata_url(text: str) -> str:
    if not text.startswith("https://") or text.count("/") < 3:
        raise ClientError("A client metadata document has an https address with a path.")
    return text


class _Lines(click.ParamType[str]):
    """Text whose environment variable holds several, one a line."""

    name = "text"

    def split_envvar_value(self, rv: str) -> Sequence[str]:
        return [line for line in rv.splitlines() if line.strip()]


_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_OPTIONS = (
    click.option(
        "--header",
        "headers",
        envvar="MCP_HEADER",
        multiple=True,
        type=_Lines(),
        metavar='"NAME: VALUE"',
        callback=_checked(header),
        help="Send this header with every request to the server. Repeatable; MCP_HEADER has one a line.",
    ),
    click.option(
        "--header-file",
        "header_files",
        envvar="MCP_HEADER_FILE",
        multiple=True,
        type=_FILE,
        callback=_checked(header_file),
        help="Read such headers from a file, one a line; keeps secrets out of the process list.",
    ),
    click.option(
        "--access-token",
        envvar="MCP_ACCESS_TOKEN",
        help="Send this Bearer token instead of signing in; better in MCP_ACCESS_TOKEN than here.",
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
        envvar="MCP_CLIENT_SECRET_FILE",
        type=_FILE,
        callback=_checked(lambda path: read_text(path).strip()),
        help="File that holds the client secret.",
    ),
    click.option(
        "--client-key",
        type=_FILE,
        envvar="MCP_CLIENT_KEY",
        help="Private key (PEM) to authenticate with instead of a secret (private_key_jwt).",
    ),
    click.option(
        "--client-credentials",
        "machine",
        is_flag=True,
        envvar="MCP_CLIENT_CREDENTIALS",
        help="Sign in as this client itself, without a person.",
    ),
    click.option(
        "--identity-provider",
        metavar="URL",
        envvar="MCP_IDENTITY_PROVIDER",
        help="Token endpoint of the company's identity provider that vouches for you (ID-JAG).",
    ),
    click.option(
        "--identity-client-id",
        envvar="MCP_IDENTITY_CLIENT_ID",
        help="This client's id there.",
    ),
    click.option(
        "--identity-token",
        envvar="MCP_IDENTITY_TOKEN",
        help="Your identity token of it; better in a file or in MCP_IDENTITY_TOKEN.",
    ),
    click.option(
        "--identity-token-file",
        type=_FILE,
        envvar="MCP_IDENTITY_TOKEN_FILE",
        callback=_checked(lambda path: read_text(path).strip()),
        help="File that holds it.",
    ),
    click.option(
        "--client-metadata-url",
        envvar="MCP_CLIENT_METADATA_URL",
        metavar="URL",
        callback=_checked(_metadata_url),
        help="Address of a client metadata document to use as client id where supported.",
    ),
    click.option("--scope", envvar="MCP_SCOPE", help="Scopes to ask for, instead of those the server names."),
    click.option(
        "--callback-port",
        envvar="MCP_CALLBACK_PORT",
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
    click.option(
        "--first-answer",
        type=click.FloatRange(min=0.0),
        envvar="MCP_FIRST_ANSWER",
        default=4.0,
        show_default=True,
        metavar="SECONDS",
        help="Answer the host after this long, connected or not; a tool sign_in helps on from there.",
    ),
    click.option(
        "--protocol",
        type=click.Choice(PROTOCOLS),
        envvar="MCP_PROTOCOL",
        help="Speak this version with the server (sse: the transport of 2024-11-05) instead of finding out.",
    ),
    click.option(
        "--ca-file",
        type=_FILE,
        envvar="MCP_CA_FILE",
        help="Certificates of an authority to trust besides the system's (PEM).",
    ),
    click.option(
        "--client-certificate",
        type=_FILE,
        envvar="MCP_CLIENT_CERTIFICATE",
        help="Certificate to show to servers that ask for one (PEM).",
    ),
    click.option(
        "--certificate-key",
        type=_FILE,
        envvar="MCP_CERTIFICATE_KEY",
        help="Its private key, unless that is in the same file; without a password.",
    ),
    click.option("--verbose", is_flag=True, help="Say on stderr what is going on."),
)


def own_parameters(command: click.Command) -> list[click.Parameter]:
    """What a command of `connection` takes besides the way to the server."""

    @connection
    def nothing(settings: Settings) -> None: ...

    shared = {parameter.name for parameter in click.command()(nothing).params}
    return [parameter for parameter in command.params if parameter.name not in shared]
