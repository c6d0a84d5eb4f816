"""What every command needs: the settings and the store of the environment, and errors as one line."""

from __future__ import annotations

import asyncio
import datetime
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import IO, Any, TypeVar

import click

from ..context import Context
from ..errors import OAuth2Error, SettingsError
from ..settings import Settings, load_settings

T = TypeVar("T")


class CommandError(click.ClickException):
    """The command cannot do what it was asked for: one line on stderr, status 1."""

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"mcp-oauth-server: {self.message}", err=True)


class UnusableSettingsError(CommandError):
    """Status 2, before anything has started."""

    exit_code = 2


def usable_settings() -> Settings:
    try:
        return load_settings()
    except SettingsError as error:
        raise UnusableSettingsError(str(error)) from error


def with_context(work: Callable[[Context], Awaitable[T]]) -> T:
    """Do some work on the store of STORE_URL. Decisions are audited on stderr unless AUDIT_LOG is set."""
    from ..app import open_context

    settings = usable_settings()

    async def main() -> T:
        async with open_context(settings, audit=sys.stderr) as ctx:
            return await work(ctx)

    try:
        return asyncio.run(main())
    except SettingsError as error:
        raise UnusableSettingsError(str(error)) from error
    except OAuth2Error as error:
        raise CommandError(error.reason) from error
    except ValueError as error:
        raise CommandError(str(error)) from error


def show_rows(rows: Sequence[dict[str, Any]], as_json: bool, nothing: str) -> None:
    """A table for people, or JSON; `nothing` goes to stderr, so that an empty list is empty output."""
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    elif not rows:
        click.echo(nothing, err=True)
    else:
        cells = [list(rows[0]), *([plain(value) for value in row.values()] for row in rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        for line in cells:
            click.echo(
                "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            )


def when(seconds: float | None) -> str | None:
    """As `2026-11-23 18:22`, in UTC."""
    if seconds is None:
        return None
    return f"{datetime.datetime.fromtimestamp(seconds, datetime.UTC):%Y-%m-%d %H:%M}"


def plain(value: object) -> str:
    """Nothing that a terminal would act on."""
    text = "-" if value is None else str(value)
    return "".join(character if character.isprintable() else "?" for character in text)


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
