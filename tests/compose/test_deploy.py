"""`just up` before anything starts: it writes missing secrets, and names what cannot be right."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway import environment
from gateway.deploy import DeployError, check, check_addresses, server_url
from tests.compose.stack import ROOT

GOOD = {
    "BASE_DOMAIN": "example.com",
    "GATEWAY_SECRET": "0123456789abcdef" * 2,
    "REDIS_PASSWORD": "0123456789abcdef",
    "GITHUB_CLIENT_ID": "id",
    "GITHUB_CLIENT_SECRET": "secret",
}
ONE_HOST = {**GOOD, "BASE_DOMAIN": "", "PUBLIC_URL": "http://localhost:8080"}


def up(env_file: Path, action: str = "up", **variables: str) -> subprocess.CompletedProcess[str]:
    """With an engine that cannot answer, so that nothing starts whatever happens."""
    return subprocess.run(
        [sys.executable, "-m", "gateway.deploy", action],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "ENV_FILE": str(env_file),
            "SECRETS_FOLDER": str(env_file.parent / "secrets"),
            "DOCKER_HOST": f"unix://{env_file.parent}/no.sock",
            "COLUMNS": "60",
            **variables,
        },
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def test_the_first_up_makes_env_from_the_example_and_says_what_is_still_missing(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    done = up(env_file)
    assert done.returncode == 2
    assert done.stderr == "up: set either BASE_DOMAIN (subdomains) or PUBLIC_URL (one host), not both\n"
    assert env_file.stat().st_mode & 0o777 == 0o600
    assert env_file.read_text() == (ROOT / ".env.example").read_text()


def test_secrets_are_files_of_their_own_that_others_cannot_reach(tmp_path: Path) -> None:
    env_file, folder = tmp_path / ".env", tmp_path / "secrets"
    done = up(env_file)
    assert folder.stat().st_mode & 0o777 == 0o700
    for name in environment.MADE:
        value = (folder / name.lower()).read_text()
        assert len(value) == 64
        assert f"Wrote a new {name} to {folder / name.lower()}." in done.stdout
        assert value not in done.stdout
    for name in environment.GIVEN:
        assert (folder / name.lower()).read_text() == ""
    made = environment.read_secrets(folder)
    up(env_file)
    assert environment.read_secrets(folder) == made


def test_secrets_in_env_are_moved_and_the_file_is_closed_to_others(tmp_path: Path) -> None:
    env_file, folder = tmp_path / ".env", tmp_path / "secrets"
    env_file.write_text("# mine\nREDIS_PASSWORD=kept-as-it-is-here\nLOCAL_ACCOUNTS=true")
    env_file.chmod(0o644)
    done = up(env_file)
    assert env_file.read_text() == "# mine\nREDIS_PASSWORD=\nLOCAL_ACCOUNTS=true"
    assert env_file.stat().st_mode & 0o777 == 0o600
    assert (folder / "redis_password").read_text() == "kept-as-it-is-here"
    assert f"Moved REDIS_PASSWORD from {env_file} to {folder / 'redis_password'}." in done.stdout
    env_file.write_text("REDIS_PASSWORD='a newer one of mine'\n")
    up(env_file)
    assert (folder / "redis_password").read_text() == "a newer one of mine"


def test_a_secret_from_the_process_environment_goes_into_its_file_only(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    up(env_file, GATEWAY_SECRET="0123456789abcdef" * 4)
    assert "0123456789abcdef" not in env_file.read_text()
    assert (tmp_path / "secrets" / "gateway_secret").read_text() == "0123456789abcdef" * 4


def test_an_engine_that_does_not_answer_is_one_line(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("".join(f"{name}={value}\n" for name, value in GOOD.items()))
    done = up(env_file)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(("up: the Docker engine does not answer", "up: docker is not installed"))


def test_down_without_a_file_says_what_to_do(tmp_path: Path) -> None:
    done = up(tmp_path / ".env", "down")
    assert done.returncode == 2
    assert done.stderr == f"down: {tmp_path / '.env'} does not exist; run ./justw up, or copy .env.example\n"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"PUBLIC_URL": "http://localhost"}, "not both"),
        ({"BASE_DOMAIN": ""}, "set either BASE_DOMAIN"),
        ({"GATEWAY_SECRET": "changeme"}, "GATEWAY_SECRET: must be at least 32 random characters"),
        ({"REDIS_PASSWORD": "p@ss:word/with#signs"}, "REDIS_PASSWORD must be at least 16 letters"),
        ({"REDIS_PASSWORD": "short"}, "REDIS_PASSWORD must be at least 16 letters"),
        ({"GITHUB_CLIENT_SECRET": ""}, "GITHUB_CLIENT_ID and GITHUB_CLIENT_SECRET must be set together"),
        ({"GITHUB_CLIENT_ID": "", "GITHUB_CLIENT_SECRET": ""}, "no way to sign in"),
        ({"ACME_EMAIL": "me"}, "ACME_EMAIL must be an e-mail address"),
        ({"ACME_EMAIL": "me@example.com", "BASE_DOMAIN": "gw.localhost"}, "ACME_EMAIL asks for https"),
        ({"HTTP_PORT": "http"}, "HTTP_PORT must be a number from 1 to 65535, not 'http'"),
        ({"HTTPS_PORT": "70000"}, "HTTPS_PORT must be a number from 1 to 65535, not '70000'"),
    ],
)
def test_contradictions_are_named(changes: dict[str, str], sentence: str) -> None:
    check(GOOD)
    with pytest.raises(DeployError) as error:
        check({**GOOD, **changes})
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("url", ["https://192.0.2.7", "https://localhost", "https://[2001:db8::1]"])
def test_certificates_need_a_domain(url: str) -> None:
    with pytest.raises(DeployError, match="ACME_EMAIL needs a public domain name"):
        check({**ONE_HOST, "PUBLIC_URL": url, "ACME_EMAIL": "me@example.com"})


def test_urls_in_both_shapes() -> None:
    assert server_url(check(GOOD), "time") == "https://time.example.com/mcp"
    assert server_url(check(ONE_HOST), "time") == "http://localhost:8080/time/mcp"


def test_every_server_of_ours_states_its_own_address() -> None:
    settings = check(GOOD)
    ours = {"image": "mcp-oauth-gateway/fetch:test", "labels": {"traefik.enable": "true"}}
    right = {**ours, "environment": {"MCP_PUBLIC_URL": "https://fetch.example.com/mcp"}}
    check_addresses(
        settings, {"services": {"fetch": right, "theirs": {"image": "other", "labels": ours["labels"]}}}
    )
    for stated in ({}, None, {"MCP_PUBLIC_URL": "https://time.example.com/mcp"}):
        with pytest.raises(
            DeployError, match=r"service fetch: MCP_PUBLIC_URL must be https://fetch\.example"
        ):
            check_addresses(settings, {"services": {"fetch": {**ours, "environment": stated}}})
