"""The line that a server's page shows installs the bridge of this checkout, by a real pip."""

from __future__ import annotations

import html
import os
import re
import subprocess
import venv
from pathlib import Path

import httpx
import pytest

from tests.conftest import ROOT, LocalRun

BRIDGE = "mcp-streamablehttp-client"


@pytest.fixture
def laptop(tmp_path: Path) -> dict[str, str]:
    """The environment of a shell in which nothing but Python and pip is there.

    What else is installed has the versions of the lock, and comes from pip's own index.
    """
    place = tmp_path / "laptop"
    venv.create(place, with_pip=True)
    lock = (ROOT / BRIDGE / "requirements.lock").read_text()
    pins = tmp_path / "pins.txt"
    pins.write_text("\n".join(re.findall(r"^[a-z0-9._-]+==[^\s;]+", lock, re.MULTILINE)))
    return {
        **os.environ,
        "PATH": f"{place / 'bin'}:{os.environ['PATH']}",
        "PIP_CONSTRAINT": str(pins),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }


def shell(line: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        line,
        shell=True,
        cwd=environment["HOME"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
    )


@pytest.mark.timeout(900)
def test_the_line_of_the_page_installs_this_bridge(
    local_run: LocalRun, laptop: dict[str, str], tmp_path: Path
) -> None:
    local_run.start()
    page = httpx.get(
        f"http://localhost:{local_run.port}/time/mcp", headers={"Accept": "text/html"}, timeout=60
    )
    [line] = re.findall(r"pip install .+", html.unescape(page.text))
    wheel = rf"http://localhost:{local_run.port}/wheels/mcp_streamablehttp_client-[^/]+\.whl"
    assert re.fullmatch(rf'pip install "{wheel}#sha256=[0-9a-f]{{64}}"', line)

    other = line[:-2] + ("0" if line[-2] != "0" else "1") + '"'
    refused = shell(other, laptop)
    assert refused.returncode != 0
    assert "DO NOT MATCH THE HASHES" in refused.stderr

    done = shell(line, laptop)
    assert done.returncode == 0, done.stderr
    said = shell(f"command -v {BRIDGE} && {BRIDGE} --version", laptop)
    assert said.returncode == 0, said.stderr
    where, version = said.stdout.splitlines()
    assert where == str(tmp_path / "laptop" / "bin" / BRIDGE)
    assert version.endswith(re.findall(r"client-([^-]+)-", line)[0])
