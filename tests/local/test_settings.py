"""What is documented as a setting reaches the process that reads it, in every way of running."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from gateway import local_settings
from gateway.services import LocalServers, new_internal
from tests.conftest import ROOT, free_port

AUTH = re.findall(r"^\| `([A-Z_]+)` \|", (ROOT / "docs" / "operate.md").read_text(), re.MULTILINE)
FOLDERS = {
    "echo-stateless": "mcp-echo-streamablehttp-server-stateless",
    "echo-stateful": "mcp-echo-streamablehttp-server-stateful",
    "fetch": "mcp-fetch-streamablehttp-server",
}
SERVERS = [
    (server, name)
    for server, folder in FOLDERS.items()
    for name in re.findall(r"^\| `(MCP_[A-Z_]+)`", (ROOT / folder / "README.md").read_text(), re.MULTILINE)
]
BY_COMPOSE = {
    *("STORE_URL", "STORE_PASSWORD", "GATEWAY_SECRET", "EDGE_URL", "EDGE_SECRET", "TRUSTED_PROXIES"),
    *("GITHUB_CLIENT_SECRET", "OIDC_CLIENT_SECRET", "MCP_BIND_HOST", "MCP_PORT", "MCP_TRUST_IDENTITY"),
    *("MCP_IDENTITY_URL", "MCP_PUBLIC_URL", "MCP_ALLOWED_HOSTS", "MCP_ALLOWED_ORIGINS", "MCP_ECHO_STATE_URL"),
    *("MCP_ECHO_STATE_PASSWORD_FILE",),
}
"""What docker-compose.yml itself says, from BASE_DOMAIN, PUBLIC_URL or a file of secrets."""


OF_A_LOCAL_RUN = {"FINDINGS_FILE"}
"""What a local run sets, and a server has none of."""


def test_there_are_settings() -> None:
    assert len(AUTH) > 40
    assert len(SERVERS) > 30


@pytest.mark.parametrize("name", sorted(set(AUTH) - set(local_settings.DECIDED)))
def test_a_local_run_hands_each_to_the_authorization_server(name: str, tmp_path: Path) -> None:
    public_url = None if name == "BASE_DOMAIN" else "value" if name == "PUBLIC_URL" else "http://localhost:1"
    given = local_settings.of_auth({name: "value"}, public_url, tmp_path, "secret")
    assert given[name] == "value"


def test_a_secret_may_be_a_file_in_a_local_run(tmp_path: Path) -> None:
    given = local_settings.of_auth({"GATEWAY_SECRET_FILE": "/x"}, "http://localhost:1", tmp_path, "secret")
    assert given["GATEWAY_SECRET_FILE"] == "/x"
    assert "GATEWAY_SECRET" not in given


def test_what_the_run_decides_is_not_taken_from_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment may be that of a server: of another gateway's edge, and of files that are not here."""
    for name in local_settings.DECIDED:
        monkeypatch.setenv(f"{name}_FILE", "/no/such/file")
        monkeypatch.setenv(name, "http://elsewhere")
    given = local_settings.of_auth(dict(os.environ), "http://localhost:1", tmp_path, "0123456789abcdef" * 2)
    assert not local_settings.NOT_GIVEN & set(given)
    settings = local_settings.checked(given)
    assert (settings.edge_url, settings.edge_secret, settings.servers) == (None, None, ())
    assert os.environ["EDGE_SECRET_FILE"] == "/no/such/file"


@pytest.mark.parametrize(("server", "name"), SERVERS)
def test_a_local_run_hands_each_to_the_server(server: str, name: str, tmp_path: Path) -> None:
    servers = LocalServers(lambda name: f"http://localhost:1/{name}/mcp", new_internal(), {name: "value"})
    [service] = [service for service in servers.native(tmp_path) if service.name == server]
    assert name in service.environment
    if name not in local_settings.SERVERS_DECIDED:
        assert service.environment[name].startswith("value")


def services() -> dict[str, Any]:
    return dict(YAML(typ="safe").load(ROOT / "docker-compose.yml")["services"])


def variables(service: dict[str, Any]) -> set[str]:
    """Those that a service is given, from .env or from the file itself."""
    return {str(entry).partition("=")[0] for entry in service["environment"]}


def test_compose_hands_each_to_the_authorization_server() -> None:
    given = variables(services()["auth"])
    assert {name for name in AUTH if name not in BY_COMPOSE | OF_A_LOCAL_RUN} <= given
    assert not OF_A_LOCAL_RUN & given
    assert {name for name in AUTH if name in BY_COMPOSE} <= {name.removesuffix("_FILE") for name in given}


@pytest.mark.parametrize("server", FOLDERS)
def test_compose_hands_each_to_the_server(server: str) -> None:
    names = {name for known, name in SERVERS if known == server}
    assert names - BY_COMPOSE <= variables(services()[server])


def refusal(tmp_path: Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "gateway.run"],
        cwd=ROOT,
        env={**os.environ, "GATEWAY_STATE": str(tmp_path), "PORT": str(free_port()), **environment},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 2, done.stdout
    assert done.stderr.count("\n") == 1
    return done.stderr


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("STORE_URL", "sqlite:////no/such/folder/auth.db", "STORE_URL: the folder /no/such/folder does not"),
        ("STORE_URL", "postgres://x", "STORE_URL"),
        ("TRUSTED_PROXIES", "foo", "TRUSTED_PROXIES: 'foo' is no address or network"),
        ("FRONT_PROXIES", "foo", "FRONT_PROXIES: 'foo'"),
        ("ALLOWED_ORIGINS", "https://x/y", "ALLOWED_ORIGINS"),
        ("LOCAL_ACCOUNTS", "maybe", "LOCAL_ACCOUNTS: must be true or false"),
        ("METRICS", "2", "METRICS: must be true or false"),
        ("ACCESS_TOKEN_LIFETIME", "1", "ACCESS_TOKEN_LIFETIME: must be a whole number from 60 to 86400"),
        ("ACCESS_TOKEN_LIFETIME", "soon", "ACCESS_TOKEN_LIFETIME: must be a whole number from 60 to 86400"),
    ],
)
def test_what_could_never_work_is_refused_before_anything_starts(
    tmp_path: Path, name: str, value: str, said: str
) -> None:
    assert said in refusal(tmp_path, **{name: value})
