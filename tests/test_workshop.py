"""The workshop's own promises: locks, manifests and recipes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import jsonschema
import pytest

from gateway.packages import PACKAGES
from tests.conftest import ROOT

LOCKS = [ROOT / "requirements.lock", *(ROOT / name / "requirements.lock" for name in PACKAGES)]
SCHEMA = ROOT.parent / "shared" / "schemas" / "pixi-manifest.schema.json"


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.parent.name)
def test_every_pin_has_a_hash_and_no_index_is_named(lock: Path) -> None:
    text = lock.read_text()
    pins = re.findall(r"^([a-z0-9._\[\]-]+)==\S+", text, re.M)
    assert len(pins) > 5
    for block in re.split(r"\n(?=\S)", text.strip()):
        assert "--hash=sha256:" in block, block[:80]
    assert "://" not in text
    assert "--index" not in text


def test_packages_pin_what_the_workspace_pins() -> None:
    def pins(text: str) -> set[str]:
        return set(re.findall(r"^[a-z0-9._\[\]-]+==[^\s;]+", text, re.M))

    workspace = pins(LOCKS[0].read_text())
    for lock in LOCKS[1:]:
        assert pins(lock.read_text()) <= workspace, lock


@pytest.mark.skipif(not SCHEMA.exists(), reason="the schema of pixi manifests is not beside this checkout")
def test_the_pixi_manifest_is_valid() -> None:
    manifest = tomllib.loads((ROOT / "pixi.toml").read_text())
    jsonschema.validate(manifest, json.loads(SCHEMA.read_text()))


def test_every_recipe_of_the_design_exists() -> None:
    listed = subprocess.run(
        [Path(sys.executable).parent / "just", "--summary"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert {
        "run", "test", "check", "up", "down", "logs", "status", "test-compose", "conformance", "bench",
        "pypi-test", "pypi-build",
    } <= set(listed)  # fmt: skip


def test_the_packages_share_one_version() -> None:
    versions = {
        tomllib.loads((ROOT / name / "pyproject.toml").read_text())["project"]["version"] for name in PACKAGES
    }
    assert len(versions) == 1
