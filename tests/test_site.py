"""The site: what it generates is complete, and a link that leads nowhere ends its build."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mcp_oauth_dynamicclient.settings import Settings

from gateway.doctor_troubles import TROUBLES
from gateway.reference import COMMANDS, reference, troubles
from tests.conftest import ROOT


def test_the_reference_has_every_recipe_command_and_setting() -> None:
    text = reference()
    recipes = re.findall(r"^([a-z][a-z-]*)(?: [^:\n]*)?:(?!=)", (ROOT / "justfile").read_text(), re.MULTILINE)
    assert len(recipes) > 20
    for recipe in set(recipes) - {"default"}:
        assert f"`./justw {recipe}`" in text, recipe
    for name in Settings.model_fields:
        assert f"`{name.upper()}`" in text
    for name in COMMANDS:
        assert f"\n## {name}\n" in text
    assert "\n### mcp-streamablehttp-client doctor\n" in text
    for endpoint in ("/verify", "/token", "/authorize", "/health"):
        row = next(line for line in text.splitlines() if line.startswith(f"| `{endpoint}` |"))
        assert not row.endswith("|  |"), row


def test_the_reference_says_nothing_of_the_machine_that_made_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before = reference()
    monkeypatch.setenv("PUBLIC_URL", "https://elsewhere.example")
    monkeypatch.setenv("ACCESS_TOKEN_LIFETIME", "77")
    assert reference() == before
    assert str(ROOT) not in before
    assert str(Path.home()) + "/" not in before


def test_everything_that_the_doctor_can_say_is_on_the_page_of_troubles() -> None:
    rows = troubles().splitlines()[2:]
    assert len(rows) == len(TROUBLES)


@pytest.mark.parametrize("line", ["", "[x](nowhere.md)", "[x](operate.md#nowhere)"])
def test_the_site_is_built_unless_a_link_leads_nowhere(line: str, tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    shutil.copytree(ROOT / "docs", docs)
    with (docs / "people.md").open("a") as people:
        people.write(f"\n{line}\n")
    settings = tmp_path / "mkdocs.yml"
    settings.write_text(
        (ROOT / "mkdocs.yml").read_text().replace("gateway/site.py", f"{ROOT}/gateway/site.py")
    )
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", str(settings)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (built.returncode == 0) == (not line), built.stderr
    assert ("nowhere" in built.stderr) == bool(line)
    if not line:
        assert "what to do" in (tmp_path / "build" / "site" / "troubleshoot" / "index.html").read_text()
