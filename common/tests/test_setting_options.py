"""Options, help and table of a model of settings."""

from __future__ import annotations

import click
from click.testing import CliRunner
from pydantic import Field
from pydantic_settings import BaseSettings

from common.setting_options import options, table


class Settings(BaseSettings):
    bind_host: str = Field("127.0.0.1", title="Address", description="an address")
    debug: bool = Field(default=False, title="Log more", description="true or false")
    names: tuple[str, ...] = Field(("a", "b"), title="Names", description="a comma list")
    limit: float | None = Field(None, title="Limit", description="a number")


@click.command
@options(Settings)
def main(**given: object) -> None:
    click.echo({name: value for name, value in given.items() if value is not None})


def test_each_setting_is_an_option_with_its_default_in_the_help() -> None:
    shown = " ".join(CliRunner().invoke(main, ["--help"]).output.split())
    assert "--host VALUE Address: an address. [MCP_BIND_HOST, default 127.0.0.1]" in shown
    assert "--debug Log more: true or false. [MCP_DEBUG, default false]" in shown
    assert "[MCP_NAMES, default a,b]" in shown
    assert "[MCP_LIMIT, default none]" in shown


def test_what_is_not_given_is_none() -> None:
    assert CliRunner().invoke(main, ["--limit", "x"]).output == "{'limit': 'x'}\n"
    assert CliRunner().invoke(main, ["--debug"]).output == "{'debug': True}\n"


def test_the_table_says_the_same() -> None:
    assert "| `MCP_NAMES` | `--names` | `a,b` | Names: a comma list |" in table(Settings)
