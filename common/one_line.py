"""A service's command line that says in one line what it cannot be started with."""

from __future__ import annotations

from typing import IO, Any

import click

from .serving import CannotListenError
from .settings import SettingsError


class OneLineError(click.ClickException):
    """One line on stderr and status 2, as for every setting that cannot be used."""

    exit_code = 2

    def __init__(self, program: str, text: str) -> None:
        super().__init__(text)
        self.program = program

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"{self.program}: {self.message}", err=True)


class Service(click.Command):
    """A command whose wrong options, variables and settings are told in one line.

    Click's usage before it would hide it in a log.
    """

    def make_context(self, info_name: str | None, *args: Any, **extra: Any) -> click.Context:
        try:
            return super().make_context(info_name, *args, **extra)
        except click.UsageError as error:
            program = self.name or str(info_name)
            raise OneLineError(program, f"{_told(error)} See {program} --help") from error

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (SettingsError, CannotListenError) as error:
            raise OneLineError(ctx.command_path, str(error)) from error


def _told(error: click.UsageError) -> str:
    option = error.param if isinstance(error, click.BadParameter) else None
    if not isinstance(option, click.Option) or isinstance(error, click.MissingParameter):
        return error.format_message()
    variable = f" ({option.envvar})" if isinstance(option.envvar, str) else ""
    return f"{option.opts[-1]}{variable}: {error.message}"
