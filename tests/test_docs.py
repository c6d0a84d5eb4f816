"""The documentation tells the truth: what it names exists, and what exists in settings is named."""

from __future__ import annotations

import ast
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import get_args

import click
import pytest
from mcp_oauth_dynamicclient.audit import Event
from mcp_oauth_dynamicclient.cli import main
from mcp_oauth_dynamicclient.pages.connect import ways_to_connect
from mcp_oauth_dynamicclient.settings import Settings

from gateway.reference import COMMANDS
from tests.conftest import ROOT

DOCS = ROOT / "docs"
AUTHORIZATION_SERVER = ROOT / "mcp-oauth-dynamicclient" / "tests"
NAMED_TEST = re.compile(r"`([\w./-]+\.py)::(\w+)`")
LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")


def markdown() -> list[Path]:
    """Every page of the repository, committed or about to be."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [ROOT / line for line in listed.splitlines() if (ROOT / line).exists()]


@cache
def functions(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text())
    return frozenset(
        node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


def anchors(page: Path) -> set[str]:
    """The fragments of a page's headings, as GitHub makes them."""
    prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ +(.+?) *$", prose, flags=re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", ["authorization-requirements.md", "security.md"])
def test_every_row_names_a_test_and_every_named_test_exists(page: str) -> None:
    text = (DOCS / page).read_text()
    named = NAMED_TEST.findall(text)
    assert len(named) > 40
    for file, function in named:
        path = ROOT / file if (ROOT / file).exists() else AUTHORIZATION_SERVER / file
        assert path.exists(), file
        assert function in functions(path), f"{file}::{function}"
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    heads = [line for line in rows if line.endswith("| test |")]
    assert len(heads) >= 5
    for row in rows:
        assert row in heads or NAMED_TEST.search(row), row


@pytest.mark.parametrize("page", markdown(), ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for target in LINK.findall(prose):
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        name, _, fragment = target.partition("#")
        found = (page.parent / name).resolve() if name else page
        assert found.exists(), target
        assert ROOT in found.parents, target
        if fragment and found.suffix == ".md":
            assert fragment in anchors(found), target


def test_every_picture_is_shown_small_and_told_to_who_cannot_see_it() -> None:
    """`just screenshots` takes them."""
    shown = {
        target: words
        for page in DOCS.rglob("*.md")
        for words, target in re.findall(r"!\[([^]]*)\]\(([^)]+)\)", page.read_text())
    }
    kept = {f"pictures/{picture.name}": picture for picture in (DOCS / "pictures").iterdir()}
    assert shown.keys() == kept.keys()
    assert all(len(words) > 20 for words in shown.values())
    assert all(picture.stat().st_size < 60_000 for picture in kept.values())
    taken = re.findall(r'take\(page, "([a-z-]+)"', (ROOT / "tests/screenshots/__main__.py").read_text())
    assert kept.keys() == {f"pictures/{name}.webp" for name in taken}


def test_the_index_lists_every_page() -> None:
    linked = set(LINK.findall((DOCS / "README.md").read_text()))
    pages = {page.name for page in DOCS.glob("*.md")} - {"README.md"}
    assert pages <= linked


def test_every_setting_of_the_authorization_server_is_documented_with_its_default_and_no_other() -> None:
    table = (DOCS / "operate.md").read_text().split("## Settings")[1].split("\n## ")[0]
    documented = dict(re.findall(r"^\| `([A-Z_]+)` \| (.*?) ?\|", table, re.MULTILINE))
    assert set(documented) == {name.upper() for name in Settings.model_fields}
    for name, field in Settings.model_fields.items():
        if field.is_required():
            shown = "required"
        elif field.default in (None, ()):
            shown = ""
        elif isinstance(field.default, bool):
            shown = f"`{str(field.default).lower()}`"
        elif isinstance(field.default, tuple):
            shown = f"`{','.join(field.default)}`"
        else:
            shown = f"`{field.default}`"
        assert documented[name.upper()] == shown, name


def test_every_command_that_is_shown_exists() -> None:
    text = (DOCS / "operate.md").read_text()
    shown = re.findall(r"mcp-oauth-server ([a-z]+)(?: ([a-z]+))?", text)
    assert {first for first, _ in shown} == {
        "serve",
        "users",
        "clients",
        "tokens",
        "keys",
        "backup",
        "restore",
        "check",
    }
    with main.make_context("mcp-oauth-server", ["--help"], resilient_parsing=True) as context:
        for first, second in shown:
            command = main.get_command(context, first)
            assert command is not None, first
            subcommands = getattr(command, "commands", {})
            assert not subcommands or second in subcommands, f"{first} {second}"


def test_every_audited_event_is_documented_and_no_other() -> None:
    text = (DOCS / "operate.md").read_text().split("The events are ")[1].split("\n## ")[0]
    assert set(re.findall(r"`([a-z.]+)`", text)) == set(get_args(Event))


def test_clients_are_connected_as_the_servers_own_page_says() -> None:
    page = " ".join((DOCS / "connect-a-client.md").read_text().split())
    for way in ways_to_connect("time", "https://time.example.com/mcp"):
        for step in way.steps:
            for line in step.code.splitlines():
                assert " ".join(line.split()) in page, (way.client, line)


RECIPE = re.compile(r"\./justw ([a-z][a-z-]*)")
SCRIPT = re.compile(rf"(?:{'|'.join(sorted(COMMANDS, key=len, reverse=True))})(?= )[^`\n|]*")
OPTION = re.compile(r"(?<=[ \[])(--[a-z][a-z-]*)")


@pytest.mark.parametrize("page", markdown(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_recipe_that_is_shown_exists(page: Path) -> None:
    recipes = re.findall(r"^([a-z][a-z-]*)(?: [^:\n]*)?:(?!=)", (ROOT / "justfile").read_text(), re.MULTILINE)
    assert set(RECIPE.findall(page.read_text())) <= set(recipes)


def options(command: click.Command, name: str) -> set[str]:
    """Every option of the command and of those below it."""
    context = click.Context(command, info_name=name)
    found = {spelled for parameter in command.get_params(context) for spelled in parameter.opts}
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            below = command.get_command(context, child)
            assert below is not None
            found |= options(below, child)
    return found


@pytest.mark.parametrize("page", markdown(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_option_that_is_shown_exists(page: Path) -> None:
    for line in SCRIPT.findall(page.read_text()):
        name = line.split(" ", 1)[0]
        own = line.partition(" -- ")[0]
        assert set(OPTION.findall(own)) <= options(COMMANDS[name], name), line
