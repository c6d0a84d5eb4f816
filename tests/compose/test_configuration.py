"""docker-compose.yml read by Compose itself: nothing is assumed, and what is missing is named."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from mcp_oauth_dynamicclient.settings import Settings

from tests.compose.stack import COMPOSE, ROOT

FILLED = {"GATEWAY_SECRET": "s" * 32, "REDIS_PASSWORD": "p" * 32, "PUBLIC_URL": "http://localhost:8080"}


def config(*options: str, **values: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMPOSE, "--env-file", "/dev/null", "config", *options],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", **values},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def services(**values: str) -> dict[str, Any]:
    done = config("--format", "json", **values)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)["services"]
    return found


@pytest.mark.parametrize("missing", sorted(FILLED))
def test_a_missing_value_is_named(missing: str) -> None:
    done = config(**{**FILLED, missing: ""})
    assert done.returncode != 0
    assert f"required variable {missing} is missing a value" in done.stderr
    assert "in .env" in done.stderr
    assert done.stdout == ""


def test_no_secret_has_a_default() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    defaults = re.findall(r"\$\{(\w*(?:SECRET|PASSWORD|TOKEN)\w*):?-([^}]*)\}", text)
    assert all(default == "" for _, default in defaults), defaults
    example = (ROOT / ".env.example").read_text()
    assert re.findall(r"^#?(\w*(?:SECRET|PASSWORD|TOKEN))=(.+)$", example, re.M) == []


def test_every_image_can_be_named_otherwise() -> None:
    names = {
        "PYTHON_IMAGE": "a.test/python",
        "TRAEFIK_IMAGE": "a.test/traefik",
        "REDIS_IMAGE": "a.test/redis",
    }
    for name, service in services(**FILLED, **names).items():
        if "build" in service:
            assert service["build"]["args"]["PYTHON_IMAGE"] == "a.test/python"
            dockerfile = (ROOT / service["build"]["dockerfile"]).read_text()
            bases = re.findall(r"^FROM (\S+)", dockerfile, re.M)
            assert bases == ["${PYTHON_IMAGE}"] * 2, name
            assert "ARG PYTHON_IMAGE=python:3.13-slim\n" in dockerfile
        else:
            assert service["image"].startswith("a.test/"), name
    public = services(**FILLED)
    assert (public["traefik"]["image"], public["redis"]["image"]) == ("traefik:v3.7", "redis:8-alpine")


def test_auth_gets_every_setting_that_it_knows() -> None:
    wanted = {name.upper() for name in Settings.model_fields}
    assert set(services(**FILLED)["auth"]["environment"]) == wanted


def test_only_the_edge_is_published_and_only_it_has_the_engine() -> None:
    for name, service in services(**FILLED).items():
        assert ("ports" in service) == (name == "traefik"), name
        assert ("docker.sock" in json.dumps(service)) == (name == "traefik"), name
        assert ("servers" in service["networks"]) == (name not in ("auth", "redis")), name


@pytest.mark.parametrize("path", sorted(ROOT.glob("mcp-*/Dockerfile")), ids=lambda path: path.parent.name)
def test_an_image_installs_only_what_is_pinned_and_runs_without_privileges(path: Path) -> None:
    text = path.read_text().replace("\\\n", " ")
    for command in re.findall(r"pip \S*.*?install.*?(?=&&|;|\n)", text):
        assert "--require-hashes" in command or ("--no-deps" in command and "--no-index" in command), command
    assert "\nUSER 10001:10001\n" in text
    assert "curl" not in text
    for lock in [*path.parent.glob("servers/*.lock"), ROOT / "gateway" / "build.lock"]:
        assert "--hash=sha256:" in lock.read_text()
        assert "://" not in lock.read_text()


def test_every_package_has_an_image() -> None:
    assert len(list(ROOT.glob("mcp-*/Dockerfile"))) == len(list(ROOT.glob("mcp-*/pyproject.toml"))) == 6


def test_a_profile_is_off_until_it_is_asked_for() -> None:
    assert set(services(**FILLED)) == {
        "traefik", "auth", "redis", "echo-stateful", "echo-stateless", "fetch", "time",
    }  # fmt: skip
    assert "memory" in services(**FILLED, COMPOSE_PROFILES="memory")


def test_what_a_profile_runs_has_a_version() -> None:
    for name, service in services(**FILLED, COMPOSE_PROFILES="*").items():
        if service["image"].startswith("mcp-oauth-gateway/runner"):
            assert re.search(r"(@|==)\d+\.\d+\.\d+", " ".join(service["command"])), name
