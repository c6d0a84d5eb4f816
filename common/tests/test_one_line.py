from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from common.one_line import Service


@click.command("program", cls=Service)
@click.option("--port", envvar="MCP_PORT", type=click.IntRange(0, 65535), default=3000)
@click.option("--name", required=True)
def program(port: int, name: str) -> None:
    click.echo(f"{name} {port}")


@pytest.mark.parametrize(
    ("arguments", "variables", "said"),
    [
        (["--port", "x"], {}, "program: --port (MCP_PORT): 'x' is not a valid integer range."),
        ([], {"MCP_PORT": "70000"}, "program: --port (MCP_PORT): 70000 is not in the range 0<=x<=65535."),
        (["--prot", "1"], {}, "program: No such option '--prot'"),
        ([], {}, "program: Missing option '--name'."),
        (["--name", "a", "b"], {}, "program: Got unexpected extra argument (b)"),
    ],
)
def test_what_it_cannot_be_started_with_is_one_line(
    arguments: list[str], variables: dict[str, str], said: str
) -> None:
    done = CliRunner().invoke(program, arguments, env=variables)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr.startswith(said)
    assert done.stderr.endswith(" See program --help\n")
    assert done.stderr.count("\n") == 1


def test_help_and_a_good_line_are_as_ever() -> None:
    assert CliRunner().invoke(program, ["--help"]).stdout.startswith("Usage: program")
    assert CliRunner().invoke(program, ["--name", "a"]).stdout == "a 3000\n"
