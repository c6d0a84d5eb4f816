"""`just run`: one command, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from gateway.services import BIN
from gateway.state import State
from tests.conftest import ROOT, LocalRun, free_port


def processes_mentioning(text: str) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                environment = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if text.encode() in environment:
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gateway.run", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=180,
    )


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_everything_ends_with_the_gateway(local_run: LocalRun, ending: signal.Signals) -> None:
    local_run.start()
    auth_store = f"sqlite:///{local_run.state / 'auth.db'}"
    assert processes_mentioning(auth_store)
    assert local_run.process is not None
    local_run.process.send_signal(ending)
    assert local_run.process.wait(timeout=90) == 0
    assert not processes_mentioning(auth_store)
    assert not processes_mentioning(f"127.0.0.1:{local_run.port}")


def test_the_table_names_every_server_and_the_first_sign_in(local_run: LocalRun) -> None:
    local_run.start()
    text = local_run.text()
    for name in ("time", "fetch", "echo-stateless", "echo-stateful"):
        assert f"http://localhost:{local_run.port}/{name}/mcp" in text
    assert text.count("healthy") >= 5
    assert "account admin, password" in text
    assert "./justw auth users password admin" in text


def test_a_second_start_keeps_keys_and_accounts_and_shows_no_password(local_run: LocalRun) -> None:
    local_run.start()
    password = local_run.password()
    url = f"http://localhost:{local_run.port}"
    keys = httpx.get(f"{url}/jwks", timeout=60).json()
    local_run.stop()
    database = b"".join(path.read_bytes() for path in local_run.state.glob("auth.db*"))
    assert password.encode() not in database
    assert b"$argon2id$" in database

    local_run.start()
    assert httpx.get(f"{url}/jwks", timeout=60).json() == keys
    assert "password " not in local_run.text().replace("users password admin", "").replace(
        "Another password", ""
    )


def test_secrets_and_logs_are_readable_by_their_owner_only(local_run: LocalRun) -> None:
    local_run.start()
    for kept in ("secret", "logs", "auth.db", "running.json"):
        assert (local_run.state / kept).stat().st_mode & 0o077 == 0, kept


def test_what_a_run_keeps_is_its_owners_alone(tmp_path: Path) -> None:
    (tmp_path / "before").mkdir(mode=0o755)
    for name in ("new", "before"):
        State(tmp_path / name).make()
    assert (tmp_path / "new").stat().st_mode & 0o077 == 0
    assert (tmp_path / "before" / "logs").stat().st_mode & 0o077 == 0


def test_a_taken_port_is_a_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run(PORT=str(port), GATEWAY_STATE=str(tmp_path))
    assert done.returncode == 2
    assert f"port {port} is taken" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


@pytest.mark.parametrize("port", ["http", "0", "70000", "-1", ""])
def test_a_port_that_is_none_is_a_sentence(tmp_path: Path, port: str) -> None:
    done = run(PORT=port, GATEWAY_STATE=str(tmp_path))
    assert done.returncode == 2
    assert done.stderr.startswith("run: PORT must be")


def test_contradictory_settings_end_the_run_before_anything_starts(tmp_path: Path) -> None:
    done = run(PORT="1", PUBLIC_URL="https://example.com/with/path", GATEWAY_STATE=str(tmp_path))
    assert done.returncode == 2
    assert "PUBLIC_URL" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert not processes_mentioning(str(tmp_path))


def test_a_service_that_dies_at_start_ends_the_run_and_leaves_nothing(tmp_path: Path) -> None:
    # A gateway whose fetch server cannot start: the same code, with one command replaced.
    program = (
        "import gateway.run as run, gateway.services as services, dataclasses, sys\n"
        "real = services.LocalServers.native\n"
        "command = (sys.executable, '-c', 'import sys; sys.exit(\"no such thing here\")')\n"
        "def broken(servers, state):\n"
        "    for service in real(servers, state):\n"
        "        fetch = service.name == 'fetch'\n"
        "        yield dataclasses.replace(service, command=command) if fetch else service\n"
        "services.LocalServers.native = lambda servers, state: list(broken(servers, state))\n"
        "sys.argv = ['run']\n"
        "sys.exit(run.main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "PORT": str(free_port()), "GATEWAY_STATE": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 2
    assert "fetch ended at start" in done.stderr
    assert "no such thing here" in done.stderr
    assert "Traceback" not in done.stderr
    assert not processes_mentioning(str(tmp_path))


def test_ones_own_stdio_servers_get_an_address_beside_the_others(local_run: LocalRun, tmp_path: Path) -> None:
    entry = {"command": str(BIN / "mcp-server-time"), "args": ["--local-timezone", "Asia/Tokyo"]}
    file = tmp_path / "mcp.json"
    names = ("tokyo", "tokyo-itself", "tokyo-away", "tokyo-in-full")  # as the edge's rules call what it has
    file.write_text(json.dumps({"mcpServers": dict.fromkeys(names, entry)}))
    local_run.start(str(file))
    for name in names:
        assert f"http://localhost:{local_run.port}/{name}/mcp" in local_run.text()
        answer = httpx.post(f"http://localhost:{local_run.port}/{name}/mcp", json={}, timeout=60)
        assert answer.status_code == 401
        assert f"/.well-known/oauth-protected-resource/{name}/mcp" in answer.headers["www-authenticate"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "not valid JSON"),
        ("{}", "mcpServers"),
        ('{"mcpServers": {"auth": {"command": "x"}}}', "needs a name of its own"),
        ('{"mcpServers": {"A-b": {"command": "x"}, "a-b": {"command": "x"}}}', "needs a name of its own"),
        ('{"mcpServers": {"x": {"url": "ftp://localhost"}}}', "url must be"),
        ('{"mcpServers": {"x": {"command": "x", "isolation": "nobody"}}}', "isolation"),
    ],
)
def test_a_servers_file_that_cannot_be_used_is_a_sentence(tmp_path: Path, content: str, reason: str) -> None:
    file = tmp_path / "mcp.json"
    file.write_text(content)
    done = run(str(file), PORT=str(free_port()), GATEWAY_STATE=str(tmp_path / "state"))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert str(file) in done.stderr
    assert reason in done.stderr
