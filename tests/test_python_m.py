"""`python -m PACKAGE` is every package's console script."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gateway.packages import PACKAGES


@pytest.mark.parametrize("package", PACKAGES)
def test_python_m_runs_the_console_script(package: str) -> None:
    module = package.replace("-", "_")
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"], capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout.lower()
    assert done.stderr == ""
