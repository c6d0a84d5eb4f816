"""What goes out: the same version everywhere, the licence in every wheel, a label on every image."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from gateway.packages import PACKAGES
from tests.conftest import ROOT

RELEASED = re.compile(r"^__version__ = \"(.+)\"$", re.MULTILINE)
FRAGMENT = re.compile(r"(\+?[a-z0-9-]+)\.(security|new|changed|mended|removed)\.md")


def project(folder: Path) -> dict[str, Any]:
    read: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    return read


def test_one_version_everywhere() -> None:
    version = project(ROOT)["version"]
    for name in PACKAGES:
        assert project(ROOT / name)["version"] == version, name
        module = ROOT / name / "src" / name.replace("-", "_")
        said = [found for file in module.glob("*.py") for found in RELEASED.findall(file.read_text())]
        assert said == [version], name
    assert tomllib.loads((ROOT / "pixi.toml").read_text())["workspace"]["version"] == version
    tags = re.findall(r"\$\{IMAGE_TAG:-(.+?)\}", (ROOT / "docker-compose.yml").read_text())
    assert tags
    assert set(tags) == {version}
    chart = ROOT / "kubernetes" / "chart"
    yaml = YAML(typ="safe")
    said = yaml.load((chart / "Chart.yaml").read_text())
    assert [said["version"], said["appVersion"]] == [version, version]
    assert yaml.load((chart / "values.yaml").read_text())["imageTag"] == version


@pytest.mark.parametrize("name", PACKAGES)
def test_a_wheel_carries_the_licence_and_where_it_comes_from(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT / name, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (licence,) = (n for n in archive.namelist() if n.endswith(".dist-info/licenses/LICENSE"))
        assert archive.read(licence) == (ROOT / "LICENSE").read_bytes()
        (metadata,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        said = archive.read(metadata).decode()
        assert any(n.endswith("/py.typed") for n in archive.namelist())
    for line in ("License-Expression: Apache-2.0", "Classifier: Programming Language :: Python :: 3.14"):
        assert line in said
    for label in ("Repository", "Issues", "Changelog"):
        assert f"Project-URL: {label}, " in said


@pytest.mark.parametrize("name", PACKAGES)
def test_an_image_says_what_it_is(name: str) -> None:
    text = (ROOT / name / "Dockerfile").read_text()
    labels = dict(re.findall(r"org\.opencontainers\.image\.(\w+)=\"(.+?)\"", text))
    own = project(ROOT / name)
    assert labels == {
        "title": name,
        "description": own["description"],
        "licenses": own["license"],
        "source": own["urls"]["Repository"],
    }


def test_the_authorization_servers_image_has_the_bridges_wheel_where_compose_says() -> None:
    text = (ROOT / "mcp-oauth-dynamicclient" / "Dockerfile").read_text()
    (made,) = re.findall(
        r"pip wheel .*--wheel-dir (\S+) /build/mcp-streamablehttp-client$", text, re.MULTILINE
    )
    (kept,) = re.findall(rf"^COPY --from=build {made} (\S+)$", text, re.MULTILINE)
    services = YAML(typ="safe").load((ROOT / "docker-compose.yml").read_text())["services"]
    assert f"WHEEL_FOLDER={kept}" in services["auth"]["environment"]


def test_every_python_that_is_promised_is_tested() -> None:
    jobs = YAML(typ="safe").load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
    tested = set(jobs["packages"]["strategy"]["matrix"]["python"])
    for name in PACKAGES:
        classifiers = project(ROOT / name)["classifiers"]
        assert {c.rpartition(" ")[2] for c in classifiers if re.search(r":: 3\.\d+$", c)} == tested, name


def test_fragments_of_the_changelog_have_a_kind_that_is_shown() -> None:
    fragments = [path for path in (ROOT / "changes").iterdir() if path.name != "README.md"]
    for path in fragments:
        assert FRAGMENT.fullmatch(path.name), path.name
    kinds = {kind["directory"] for kind in _towncrier()["type"]}
    assert {match[2] for path in fragments if (match := FRAGMENT.fullmatch(path.name))} <= kinds


def _towncrier() -> dict[str, Any]:
    read: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["towncrier"]
    return read
