"""`just up`: the whole gateway under docker compose, in both shapes of addresses."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.compose.stack import ROOT, Stack

pytestmark = [pytest.mark.compose, pytest.mark.timeout(2400)]
SERVERS = ("echo-stateful", "echo-stateless", "fetch", "time")
PARTS = {
    "one host": ("test_sdk_client.py",),
    "subdomains": (
        "test_attacks.py",
        "test_bridge.py",
        "test_gate.py",
        "test_pages.py",
        "test_sdk_client.py",
    ),
}
"""Of the end-to-end tests: a local run, on one host, passes all of them; how pages look is the same here."""


def run_end_to_end_tests(stack: Stack, folder: Path, *parts: str) -> None:
    """The very tests that drive a local run, in a process of their own, against this gateway."""
    done = subprocess.run(
        [
            *knowing_names(stack, folder),
            sys.executable,
            "-m",
            "pytest",
            "-q",
            *(f"tests/e2e/{part}" for part in parts),
        ],
        cwd=ROOT,
        env={
            **os.environ,
            "GATEWAY_ISSUER": stack.issuer,
            "GATEWAY_SERVER_URL": stack.server_url,
            "GATEWAY_PASSWORD": stack.password,
        },
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, (
        done.stdout[-8000:] + done.stderr[-2000:] + stack.compose("logs", "--tail=20")
    )


def knowing_names(stack: Stack, folder: Path) -> list[str]:
    """For a resolver that does not know names under .localhost: a prefix that gives a command its own hosts
    file, with the names of this gateway, and leaves this machine's as it is."""
    names = [urlsplit(url).hostname or "" for url in (stack.issuer, *map(stack.server, SERVERS))]
    try:
        for name in names:
            socket.getaddrinfo(name.encode(), None)
    except socket.gaierror:
        hosts = folder / "hosts"
        hosts.write_text(Path("/etc/hosts").read_text() + f"\n127.0.0.1 {' '.join(names)}\n")
        script = 'mount --bind "$0" /etc/hosts && exec "$@"'
        return ["unshare", "--mount", "sh", "-c", script, str(hosts)]
    return []


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=60) as client:
        yield client


def test_the_end_to_end_tests_pass(stack: Stack, folder: Path) -> None:
    run_end_to_end_tests(stack, folder, *PARTS[stack.shape])


def test_up_wrote_the_secrets_it_lacked(stack: Stack) -> None:
    secrets = stack.secrets
    assert len(secrets["GATEWAY_SECRET"]) == len(secrets["REDIS_PASSWORD"]) == 64
    assert secrets["GATEWAY_SECRET"] != secrets["REDIS_PASSWORD"]
    assert stack.env_file.stat().st_mode & 0o777 == 0o600


def test_status_prints_every_url_and_how_it_is(stack: Stack) -> None:
    status = stack.deploy("status")
    assert status.returncode == 0, status.stderr
    assert f" {stack.issuer} " in status.stdout
    for name in SERVERS:
        (line,) = [line for line in status.stdout.splitlines() if f" {name} " in line]
        assert f" {stack.server(name)} " in line
        assert "healthy" in line


def test_accounts_are_managed_from_beside(stack: Stack, tmp_path: Path) -> None:
    """As `./justw auth`, where no local run is."""

    def auth(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "gateway.run", "--auth", *arguments],
            cwd=ROOT, env={**stack.environment, "GATEWAY_STATE": str(tmp_path)}, input=stdin,
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    added = auth("users", "add", "grace", "--password-stdin", stdin="a password of grace's")
    assert added.returncode == 0, added.stdout + added.stderr
    listed = auth("users", "list")
    assert listed.returncode == 0, listed.stderr
    assert stack.account in listed.stdout
    assert "grace" in listed.stdout
    assert auth("users", "remove", "grace").returncode == 0
    assert "grace" not in auth("users", "list").stdout
    unknown = auth("users", "remove", "nobody")
    assert unknown.returncode != 0
    assert "Traceback" not in unknown.stderr


def test_every_server_answers_its_health_check_through_the_edge(stack: Stack, http: httpx.Client) -> None:
    for name in SERVERS:
        answer = http.get(stack.server(name).removesuffix("/mcp") + "/health")
        assert (answer.status_code, answer.json()["status"]) == (200, "healthy"), name


def test_a_foreign_host_gets_nothing(stack: Stack, http: httpx.Client) -> None:
    for host in ("evil.example", "time.evil.example", "traefik", "auth"):
        answer = http.post(f"http://127.0.0.1:{stack.port}/time/mcp", headers={"Host": host})
        assert answer.status_code == 400, host
        assert answer.json()["error"] == "invalid_request"


def test_what_is_internal_stays_internal(stack: Stack, http: httpx.Client) -> None:
    for path in ("/verify", "/metrics", "/api/rawdata", "/dashboard/", "/ping"):
        answer = http.get(stack.issuer + path, headers={"Accept": "application/json"})
        assert answer.status_code in (401, 404), path


def test_logs_hold_no_codes_and_no_tokens(stack: Stack, http: httpx.Client) -> None:
    secret = "sentinel-of-the-log-test"
    http.get(f"{stack.issuer}/callback", params={"code": secret, "state": secret})
    http.post(stack.server("time"), headers={"Authorization": f"Bearer {secret}"}, json={})
    http.post(f"{stack.issuer}/token", data={"grant_type": "refresh_token", "refresh_token": secret})
    logs = stack.compose("logs", "--no-log-prefix")
    assert "/callback" in logs
    assert secret not in logs
    for value in stack.secrets.values():
        assert not value or value not in logs
