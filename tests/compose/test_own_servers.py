"""A person's own servers under compose, by what Compose makes of the two files, and on a real engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway import compose_servers, deploy
from gateway.deploy import DeployError
from tests.compose.stack import ROOT, Stack

ENTRY = {"command": "npx", "args": ["-y", "server", "$HOME"], "env": {"TOKEN": "one"}}
OWN_FILE = """\
# mine
services:
  fetch:
    mem_limit: 2g  # large pages
"""


@pytest.fixture
def override(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "docker-compose.override.yml"
    monkeypatch.setattr(compose_servers, "FILE", file)
    return file


def configured(*files: Path) -> dict[str, Any]:
    program = deploy.compose_of_this_workspace()
    named = [option for file in (compose_servers.BASE, *files) for option in ("--file", str(file))]
    environment = {
        "PATH": os.environ["PATH"],
        "BASE_DOMAIN": "example.com",
        "SECRETS_FOLDER": str(files[0].parent),
    }
    command = [program, *named, "--profile", "*", "config", "--format", "json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def test_it_is_a_service_like_those_of_the_file_itself(override: Path) -> None:
    compose_servers.add("notes", ENTRY, override.parent)
    whole = configured(override)
    ours, given = whole["services"]["everything"], whole["services"]["notes"]
    differ = {"labels", "environment", "command", "secrets", "profiles"}
    assert {k: v for k, v in given.items() if k not in differ} == {
        k: v for k, v in ours.items() if k not in differ
    }
    assert given["environment"] == {
        **ours["environment"],
        "MCP_PUBLIC_URL": "https://notes.example.com/mcp",
    }
    renamed = {key.replace("everything", "notes"): value for key, value in ours["labels"].items()}
    assert given["labels"] == {**renamed, "gateway.own": "true"}
    assert given["command"] == ["--config", "/run/secrets/server-notes", "--only", "notes"]
    file = Path(whole["secrets"]["server-notes"]["file"])
    assert file == override.parent / "server-notes"
    assert json.loads(file.read_text()) == {"mcpServers": {"notes": ENTRY}}
    deploy.check_addresses(
        deploy.check({"BASE_DOMAIN": "example.com", "LOCAL_ACCOUNTS": "true", **SECRETS}), whole
    )


SECRETS = {
    "GATEWAY_SECRET": "0123456789abcdef0123456789abcdef",
    "REDIS_PASSWORD": "0123456789abcdef",
    "EDGE_SECRET": "0123456789abcdef0123456789abcdef",
}


def test_what_else_the_file_holds_stays(override: Path) -> None:
    override.write_text(OWN_FILE)
    compose_servers.add("notes", ENTRY, override.parent)
    assert "# mine" in override.read_text()
    assert "2g  # large pages" in override.read_text()
    with pytest.raises(DeployError, match="the name notes is taken"):
        compose_servers.add("notes", ENTRY, override.parent)
    compose_servers.refuse_unknown("notes")
    compose_servers.remove("notes", override.parent)
    assert override.read_text() == OWN_FILE


def test_a_file_that_add_made_goes_with_its_last_server(override: Path) -> None:
    compose_servers.add("notes", ENTRY, override.parent)
    compose_servers.remove("notes", override.parent)
    assert not override.exists()


@pytest.mark.parametrize("name", ["fetch", "auth", "token", "redis", "Notes", "a_b", ""])
def test_a_name_that_is_taken_or_none_is_refused(override: Path, name: str) -> None:
    with pytest.raises(DeployError):
        compose_servers.add(name, ENTRY, override.parent)
    assert not override.exists()


def test_only_what_add_wrote_is_removed(override: Path) -> None:
    override.write_text(OWN_FILE)
    with pytest.raises(DeployError, match="no server fetch was added"):
        compose_servers.refuse_unknown("fetch")


def test_a_file_that_is_no_yaml_is_one_sentence(override: Path) -> None:
    override.write_text("services: [")
    with pytest.raises(DeployError, match=r"docker-compose\.override\.yml: "):
        compose_servers.add("notes", ENTRY, override.parent)


def test_compose_is_asked_as_it_reads_the_override_file_by_itself(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("")
    assert "--file" not in deploy.command(env_file)


@pytest.mark.compose
@pytest.mark.timeout(1200)
def test_it_is_added_and_removed_while_the_gateway_runs(stack: Stack, tmp_path: Path) -> None:
    """On a real engine: reached at its name's address, and the others keep their containers."""

    def manage(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**stack.environment, "ENV_FILE": str(stack.env_file), "GATEWAY_STATE": str(tmp_path)}
        command = [sys.executable, "-m", "gateway.manage", *arguments]
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)

    before = {name: stack.container(name) for name in ("auth", "traefik", "time")}
    try:
        added = manage("add", "notes", "--", "node", "notes.js")
        assert added.returncode == 1, added.stdout + added.stderr  # there is no such file
        assert stack.server("notes") in added.stdout
        assert "./justw remove notes takes it away" in added.stderr
        answer = httpx.post(stack.server("notes"), json={}, timeout=60)
        assert answer.status_code == 401
        metadata = answer.headers["www-authenticate"].split('"')[1]
        assert httpx.get(metadata, timeout=60).json()["resource"] == stack.server("notes")
    finally:
        removed = manage("remove", "notes")
    assert removed.returncode == 0, removed.stdout + removed.stderr
    assert stack.compose("ps", "--all", "--quiet", "--orphans=true").count("\n") > 5
    assert {name: stack.container(name) for name in before} == before
    assert not compose_servers.FILE.exists()
