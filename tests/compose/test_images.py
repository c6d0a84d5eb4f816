"""Each package's image by itself."""

from __future__ import annotations

import pytest

from tests.compose.engine import Engine
from tests.compose.stack import ROOT

pytestmark = [pytest.mark.compose, pytest.mark.timeout(600)]
SERVICES = ("auth", "echo-stateful", "echo-stateless", "fetch", "time", "runner")


def test_the_bridges_image_runs_the_bridge(engine: Engine, images: dict[str, str]) -> None:
    tag = "mcp-oauth-gateway/client:test"
    engine.docker(
        "build", "--tag", tag, "--build-arg", f"PYTHON_IMAGE={images['PYTHON_IMAGE']}",
        "--file", str(ROOT / "mcp-streamablehttp-client" / "Dockerfile"), str(ROOT), timeout=500,
    )  # fmt: skip
    said = engine.docker("run", "--rm", "--network=none", "--read-only", tag, "--help")
    assert said.startswith("Usage: mcp-streamablehttp-client")


@pytest.mark.parametrize("name", SERVICES)
def test_an_image_holds_no_tests_no_pip_and_no_settings_of_its_builder(
    engine: Engine, images: dict[str, str], name: str
) -> None:
    image = f"mcp-oauth-gateway/{name}:test"
    command = "ls /venv/bin /build /tools; find / -name '.env*' -path '*mcp*' 2>/dev/null; true"
    listed = engine.docker("run", "--rm", "--network=none", "--entrypoint=sh", image, "-c", command).split()
    assert "python" in listed
    assert "pip" not in listed
    assert not any(".env" in entry for entry in listed)
    inspected = engine.docker("inspect", "--format", "{{.Config.User}} {{json .Config.Env}}", image)
    assert inspected.startswith("10001:10001 ")
    assert "SECRET" not in inspected
