"""docker-compose.yml read by Compose itself: nothing is assumed, and what is missing is named."""

from __future__ import annotations

import json
import re
import secrets
import subprocess
from pathlib import Path
from typing import Any

import pytest
from mcp_oauth_dynamicclient.secret_files import secret_fields
from mcp_oauth_dynamicclient.settings import Settings

from gateway.deploy import READY_WITHIN, check, check_addresses
from tests.compose.stack import COMPOSE, ROOT

FILLED = {"PUBLIC_URL": "http://localhost:8080"}


def config(*options: str, **values: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMPOSE, "--env-file", "/dev/null", "config", *options],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", **values},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def services(**values: str) -> dict[str, Any]:
    done = config("--format", "json", **values)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)["services"]
    return found


def test_the_service_that_the_readme_shows_is_a_server_of_the_gateway(tmp_path: Path) -> None:
    [shown] = re.findall(r"```yaml\n(  sequentialthinking:\n.*?)```", (ROOT / "README.md").read_text(), re.S)
    added = shown.replace("sequentialthinking", "example", 3)
    compose = tmp_path / "docker-compose.yml"
    text = (ROOT / "docker-compose.yml").read_text()
    compose.write_text(text.replace("\nservices:\n", f"\nservices:\n{added}"))
    place = {"BASE_DOMAIN": "example.com", "LOCAL_ACCOUNTS": "true", "COMPOSE_FILE": str(compose)}
    done = config("--format", "json", **place)
    assert done.returncode == 0, done.stderr
    configuration = json.loads(done.stdout)
    made = {name: secrets.token_hex(32) for name in ("GATEWAY_SECRET", "REDIS_PASSWORD")}
    check_addresses(check({**place, **made}), configuration)
    example, like_it = (configuration["services"][name] for name in ("example", "time"))
    assert example["labels"]["traefik.http.routers.example.middlewares"] == "server@file"
    differing = {
        key for key in example["environment"] if example["environment"][key] != like_it["environment"][key]
    }
    assert differing == {"MCP_PUBLIC_URL"}


@pytest.mark.parametrize("missing", sorted(FILLED))
def test_a_missing_value_is_named(missing: str) -> None:
    done = config(**{**FILLED, missing: ""})
    assert done.returncode != 0
    assert f"required variable {missing} is missing a value" in done.stderr
    assert "in .env" in done.stderr
    assert done.stdout == ""


def test_no_secret_has_a_default() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    defaults = re.findall(r"\$\{(\w*(?:SECRET|PASSWORD|TOKEN)):?-([^}]*)\}", text)
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
    files = {name: f"{name.upper()}_FILE" for name in secret_fields(Settings.model_fields)}
    known = {files.get(name, name.upper()) for name in Settings.model_fields}
    # The first is a local run's own, the second is for the library that sends spans.
    wanted = known - {"FINDINGS_FILE"} | {"OTEL_EXPORTER_OTLP_ENDPOINT"}
    for replica in ("auth", "auth-2"):
        assert set(services(**FILLED)[replica]["environment"]) == wanted


def test_the_replicas_of_auth_differ_in_nothing_but_their_turn() -> None:
    first, second = (services(**FILLED)[name] for name in ("auth", "auth-2"))
    assert second.pop("depends_on").pop("auth") == {"condition": "service_healthy", "required": True}
    first.pop("depends_on")
    assert first == second


def test_only_the_edge_is_published_and_only_the_filter_has_the_engine() -> None:
    for name, service in services(**FILLED).items():
        assert ("ports" in service) == (name == "traefik"), name
        assert ("docker.sock" in json.dumps(service)) == (name == "engine"), name
        assert ("servers" in service["networks"]) == (name not in ("auth", "auth-2", "redis", "engine")), name
        assert ("engine" in service["networks"]) == (name in ("traefik", "engine")), name


def test_redis_keeps_what_it_answered_and_refuses_what_it_cannot_keep() -> None:
    redis = services(**FILLED)["redis"]
    written = dict(line.strip().split(" ", 1) for line in redis["command"][0].splitlines() if " " in line)
    assert (written["appendonly"], written["appendfsync"]) == ("yes", "always")
    assert written["maxmemory-policy"] == "noeviction"
    megabytes = int(written["maxmemory"].removesuffix("mb"))
    assert 2 * megabytes * 1024 * 1024 <= int(redis["mem_limit"])


def test_a_slow_machine_has_minutes_to_start() -> None:
    for name, service in services(**FILLED).items():
        if "build" in service:
            text = (ROOT / service["build"]["dockerfile"]).read_text()
            period = re.search(r"--start-period=(\w+)", text)
            assert period is not None
            assert period[1] == "5m", name
        else:
            assert service["healthcheck"]["start_period"] == "5m0s", name
    assert READY_WITHIN >= 600


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
        "traefik", "engine", "auth", "auth-2", "redis", "echo-stateful", "echo-stateless", "fetch", "time",
    }  # fmt: skip
    assert "memory" in services(**FILLED, COMPOSE_PROFILES="memory")


def test_what_a_profile_runs_has_a_version() -> None:
    for name, service in services(**FILLED, COMPOSE_PROFILES="*").items():
        if service["image"].startswith("mcp-oauth-gateway/runner"):
            assert re.search(r"(@|==)\d+\.\d+\.\d+", " ".join(service["command"])), name


@pytest.mark.parametrize(
    ("values", "address"),
    [
        ({"BASE_DOMAIN": "example.com"}, "https://{name}.example.com/mcp"),
        (
            {"BASE_DOMAIN": "gw.localhost:8080", "PUBLIC_SCHEME": "http"},
            "http://{name}.gw.localhost:8080/mcp",
        ),
        ({"PUBLIC_URL": "http://localhost:8080"}, "http://localhost:8080/{name}/mcp"),
    ],
)
def test_every_server_states_its_own_address_and_wants_the_gateways_statement(
    values: dict[str, str], address: str
) -> None:
    exposed = {
        name: service["environment"]
        for name, service in services(COMPOSE_PROFILES="*", **values).items()
        if service.get("labels", {}).get("traefik.enable") == "true"
    }
    assert len(exposed) > 5
    for name, environment in exposed.items():
        assert environment["MCP_PUBLIC_URL"] == address.format(name=name)
        assert environment["MCP_IDENTITY_URL"] == "http://traefik:8090/internal/identity"
