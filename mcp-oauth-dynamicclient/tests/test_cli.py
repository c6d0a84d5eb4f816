"""The commands, run as an operator runs them, against a real store."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result
from mcp_oauth_dynamicclient.cli import main
from mcp_oauth_dynamicclient.errors import SettingsError
from mcp_oauth_dynamicclient.settings import Settings, load_settings
from mcp_oauth_dynamicclient.store import open_store

SECRET = "0123456789abcdef-test-secret-fedcba9876543210"
PASSWORD = "correct horse battery"

Run = Callable[..., Result]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {
        "GATEWAY_SECRET": SECRET,
        "LOCAL_ACCOUNTS": "true",
        "PUBLIC_URL": "http://localhost:8080",
        "STORE_URL": f"sqlite:///{tmp_path}/auth.db",
        "AUDIT_LOG": str(tmp_path / "audit.log"),
    }


@pytest.fixture
def run(environment: dict[str, str]) -> Run:
    def run(*arguments: str, entered: str | None = None, ok: bool = True, **changes: str) -> Result:
        result = CliRunner().invoke(main, arguments, input=entered, env=environment | changes)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        if ok:
            assert result.exit_code == 0, result.output
        return result

    return run


@pytest.fixture
async def grant(environment: dict[str, str]) -> dict[str, Any]:
    """Ada's grant for client_1, with a refresh token, in the store."""
    value = {
        "grant_id": "g1", "client_id": "client_1", "client_name": "Claude\x1b[31m",
        "identity": {"provider": "local", "subject": "ada", "login": "ada"},
        "resource": "http://localhost:8080/time/mcp", "scope": "mcp", "created_at": 0, "last_used_at": 0,
    }  # fmt: skip
    store = open_store(environment["STORE_URL"])
    await store.put("grant", "g1", value, owners=["client:client_1", "user:local:ada"])
    refresh = {"grant_id": "g1", "client_id": "client_1", "generation": 0}
    await store.put("refresh_token", "hash", refresh, owners=["grant:g1"])
    await store.close()
    return value


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"GATEWAY_SECRET": ""}, "GATEWAY_SECRET: must be at least 32 random characters"),
        ({"GATEWAY_SECRET": "x" * 40}, "GATEWAY_SECRET: must be at least 32 random characters"),
        ({"PUBLIC_URL": ""}, "set either BASE_DOMAIN (subdomains) or PUBLIC_URL (one host)"),
        ({"BASE_DOMAIN": "example.com"}, "set either BASE_DOMAIN (subdomains) or PUBLIC_URL (one host)"),
        ({"PUBLIC_URL": "http://localhost:8080/"}, "PUBLIC_URL must be"),
        ({"PUBLIC_URL": "http://LocalHost:8080"}, "PUBLIC_URL must be"),
        ({"PUBLIC_URL": "https://example.com:443"}, "PUBLIC_URL must be"),
        ({"PUBLIC_URL": "https://example.com/auth"}, "PUBLIC_URL must be"),
        ({"PUBLIC_URL": "https://me@example.com"}, "PUBLIC_URL must be"),
        ({"PUBLIC_URL": "localhost:8080"}, "PUBLIC_URL must be"),
        ({"PUBLIC_URL": "https://example.com:port"}, "PUBLIC_URL must be"),
        ({"PUBLIC_URL": "", "BASE_DOMAIN": "https://example.com"}, "BASE_DOMAIN must be a domain"),
        ({"PUBLIC_URL": "", "BASE_DOMAIN": "Example.com"}, "BASE_DOMAIN must be a domain"),
        ({"LOCAL_ACCOUNTS": "false"}, "no way to sign in"),
        ({"STORE_URL": "mysql://x"}, "STORE_URL: must be"),
        ({"ACCESS_TOKEN_LIFETIME": "soon"}, "ACCESS_TOKEN_LIFETIME: "),
        ({"GITHUB_CLIENT_ID": "x"}, "GITHUB_CLIENT_ID and GITHUB_CLIENT_SECRET must be set together"),
        ({"AUDIT_LOG": "{missing}/audit.log"}, "AUDIT_LOG: {missing}/audit.log: No such file"),
        ({"CLIENTS_FILE": "{missing}.json"}, "CLIENTS_FILE"),
    ],
)
@pytest.mark.parametrize("command", [["serve"], ["users", "list"], []])
def test_an_unusable_setting_is_one_line_and_status_2(
    run: Run, tmp_path: Path, command: list[str], changes: dict[str, str], line: str
) -> None:
    missing = str(tmp_path / "missing")
    changes = {name: value.replace("{missing}", missing) for name, value in changes.items()}
    line = line.replace("{missing}", missing)
    result = run(*command, ok=False, **changes)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert line in result.stderr
    assert "x" * 40 not in result.stderr


def test_spans_that_cannot_be_sent_are_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk", None)
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter", None)
    result = run("serve", ok=False, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:4318")
    assert result.exit_code == 2
    said = "OTEL_EXPORTER_OTLP_ENDPOINT needs the extra otel: pip install 'mcp-oauth-dynamicclient[otel]'"
    assert result.stderr.strip() == f"mcp-oauth-server: {said}"


def test_help_and_version_need_no_settings() -> None:
    for arguments in (
        ["--help"],
        ["--version"],
        ["users", "--help"],
        ["serve", "--help"],
        ["check", "--help"],
    ):
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 0
    listed = CliRunner().invoke(main, ["--help"]).stdout
    for command in ("serve", "clients", "tokens", "users", "keys", "backup", "restore", "check"):
        assert command in listed


def test_accounts_are_made_listed_changed_and_removed(run: Run) -> None:
    empty = run("users", "list")
    assert empty.stdout == ""
    run("users", "add", "ada", "--password-stdin", "--full-name", "Ada Lovelace", entered=f"{PASSWORD}\n")
    run("users", "disable", "ada")
    (ada,) = json.loads(run("users", "list", "--json").stdout)
    assert (ada["name"], ada["full name"], ada["state"]) == ("ada", "Ada Lovelace", "disabled")
    run("users", "enable", "ada")
    run("users", "password", "ada", "--password-stdin", entered="another password\n")
    assert "enabled" in run("users", "list").stdout
    run("users", "remove", "ada")
    assert run("users", "list").stdout == ""


@pytest.mark.parametrize(
    ("arguments", "entered", "line"),
    [
        (["users", "add", "ada", "--password-stdin"], "short\n", "at least 10 characters"),
        (["users", "add", "Ada Lovelace", "--password-stdin"], f"{PASSWORD}\n", "lower case"),
        (["users", "remove", "nobody"], None, "there is no account nobody"),
        (["users", "disable", "nobody"], None, "there is no account nobody"),
        (["clients", "show", "nobody"], None, "there is no client nobody"),
        (["clients", "delete", "nobody"], None, "there is no client nobody"),
        (["tokens", "revoke", "nothing"], None, "there is no grant nothing"),
        (["keys", "remove", "nothing"], None, "there is no key nothing"),
        (["clients", "add", "--redirect-uri", "javascript:alert(1)"], None, "the scheme javascript"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_status_1(
    run: Run, arguments: list[str], entered: str | None, line: str
) -> None:
    result = run(*arguments, entered=entered, ok=False)
    assert result.exit_code == 1
    assert line in result.stderr
    assert result.stderr.count("\n") == 1
    assert PASSWORD not in result.output


def test_removing_an_account_revokes_its_grants_so_that_a_namesake_inherits_nothing(
    run: Run, grant: dict[str, Any]
) -> None:
    run("users", "add", "ada", "--password-stdin", entered=f"{PASSWORD}\n")
    assert "revoked 1 grants" in run("users", "remove", "ada").stdout
    assert json.loads(run("tokens", "list", "--json").stdout) == []


def test_clients_are_entered_shown_and_deleted_with_all_they_hold(run: Run) -> None:
    added = json.loads(
        run("clients", "add", "--client-id", "robot", "--name", "Robot", "--grant-type", "client_credentials",
            "--auth-method", "client_secret_basic").stdout
    )  # fmt: skip
    assert added["client_id"] == "robot"
    assert len(added["client_secret"]) >= 43
    shown = run("clients", "show", "robot").stdout
    assert json.loads(shown)["client_name"] == "Robot"
    assert added["client_secret"] not in shown
    assert "robot" in run("clients", "list").stdout
    run("clients", "delete", "robot")
    assert run("clients", "list").stdout == ""


def test_grants_are_listed_counted_and_revoked(run: Run, grant: dict[str, Any]) -> None:
    (row,) = json.loads(run("tokens", "list", "--json").stdout)
    assert (row["grant"], row["user"], row["server"]) == ("g1", "local:ada", grant["resource"])
    assert "\x1b" not in run("tokens", "list").stdout
    assert json.loads(run("tokens", "list", "--user", "local:eve", "--json").stdout) == []
    assert (
        json.loads(run("tokens", "list", "--client", "client_2", "--user", "local:ada", "--json").stdout)
        == []
    )
    counted = {row["what"]: row["count"] for row in json.loads(run("tokens", "stats", "--json").stdout)}
    assert counted["grants"] == counted["refresh tokens"] == counted["people with grants"] == 1
    assert run("tokens", "revoke", ok=False).exit_code == 2
    assert run("tokens", "revoke", "--user", "local:eve").stdout == "Revoked: 0\n"
    assert run("tokens", "revoke", "--user", "local:ada").stdout == "Revoked: 1\n"
    assert json.loads(run("tokens", "list", "--json").stdout) == []


def test_keys_are_rotated_and_removed(run: Run) -> None:
    (first,) = json.loads(run("keys", "list", "--json").stdout)
    second = run("keys", "rotate").stdout.strip()
    listed = json.loads(run("keys", "list", "--json").stdout)
    assert [key["kid"] for key in listed] == [second, first["kid"]]
    assert listed[0]["ends"] is None
    assert listed[1]["ends"] is not None
    run("keys", "remove", first["kid"])
    assert [key["kid"] for key in json.loads(run("keys", "list", "--json").stdout)] == [second]


def test_a_backup_is_encrypted_private_and_restores_everything_with_its_owners(
    run: Run, grant: dict[str, Any], tmp_path: Path
) -> None:
    run("users", "add", "ada", "--password-stdin", entered=f"{PASSWORD}\n")
    (key,) = json.loads(run("keys", "list", "--json").stdout)
    file, passphrase = tmp_path / "gateway.backup", {"BACKUP_PASSPHRASE": "a long passphrase"}
    run("backup", str(file), **passphrase)
    assert file.stat().st_mode & 0o777 == 0o600
    assert b"client_1" not in file.read_bytes()
    assert "exists" in run("backup", str(file), ok=False, **passphrase).stderr

    elsewhere = {"STORE_URL": f"sqlite:///{tmp_path}/other.db"}
    wrong = run("restore", str(file), ok=False, BACKUP_PASSPHRASE="another passphrase", **elsewhere)
    assert wrong.exit_code == 1
    assert "passphrase is wrong" in wrong.stderr
    assert "Restored 4 entries; 0 existed" in run("restore", str(file), **passphrase, **elsewhere).stdout
    assert "Restored 0 entries; 4 existed" in run("restore", str(file), **passphrase, **elsewhere).stdout
    assert "Restored 4 entries" in run("restore", str(file), "--overwrite", **passphrase, **elsewhere).stdout
    assert json.loads(run("keys", "list", "--json", **elsewhere).stdout) == [key]
    assert run("tokens", "revoke", "--user", "local:ada", **elsewhere).stdout == "Revoked: 1\n"
    counted = run("tokens", "stats", "--json", **elsewhere).stdout
    assert {"what": "refresh tokens", "count": 0} in json.loads(counted)


def test_a_file_that_is_no_backup_and_a_short_passphrase_are_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("my shopping list")
    result = run("restore", str(tmp_path / "x"), ok=False, BACKUP_PASSPHRASE="a long passphrase")
    assert "not a backup" in result.stderr
    result = run("backup", str(tmp_path / "y"), ok=False, BACKUP_PASSPHRASE="short")
    assert "at least 12 characters" in result.stderr
    assert not (tmp_path / "y").exists()


def test_check_says_what_is_wrong_and_what_to_do(run: Run, tmp_path: Path) -> None:
    result = run(
        "check", "--server", "https://evil.example/mcp", ok=False,
        PUBLIC_URL="http://127.0.0.1:1", GITHUB_CLIENT_ID="x", GITHUB_CLIENT_SECRET="x", TRUSTED_PROXIES="*",
        ALLOWED_OIDC_USERS="*",
    )  # fmt: skip
    assert result.exit_code == 1
    assert "PROBLEM  GitHub sign-in admits nobody" in result.stdout
    assert "set ALLOWED_GITHUB_USERS or ALLOWED_GITHUB_ORGS" in result.stdout
    assert "warning  TRUSTED_PROXIES is *" in result.stdout
    assert "ok       the sqlite store can be read and written" in result.stdout
    assert (
        "PROBLEM  http://127.0.0.1:1/.well-known/oauth-authorization-server does not answer" in result.stdout
    )
    assert "PROBLEM  https://evil.example/mcp is not an address of this gateway" in result.stdout
    (tmp_path / "folder").mkdir()
    result = run("check", ok=False, STORE_URL=f"sqlite:///{tmp_path}/folder", PUBLIC_URL="http://127.0.0.1:1")
    assert "PROBLEM  the sqlite store cannot be used" in result.stdout


def test_check_looks_inside_alone_and_says_it_as_json(run: Run) -> None:
    """Nothing is asked: the issuer is nobody's address."""
    here = {"PUBLIC_URL": "http://127.0.0.1:1", "LOCAL_ACCOUNTS": "true"}
    said = json.loads(run("check", "--inside", "--json", ok=False, **here).stdout)
    assert said["well"] is False
    assert [hop["hop"] for hop in said["hops"]] == ["https", "store", "keys", "person"]
    assert said["hops"][-1]["cure"] == "mcp-oauth-server users add NAME"
    run("users", "add", "ada", "--password-stdin", entered=PASSWORD, **here)
    assert json.loads(run("check", "--inside", "--json", **here).stdout)["well"] is True


def test_passes_are_one_line_of_json_and_revoked_when_their_reader_ends(run: Run) -> None:
    url = "http://localhost:8080/time/mcp"
    passes = json.loads(run("operator-passes", url).stdout)
    assert {name: value.count(".") for name, value in passes[url].items()} == {"token": 2, "statement": 2}
    assert run("tokens", "list").stdout == ""
    assert "not an address of this gateway" in run("operator-passes", "https://x/mcp", ok=False).stderr


PYDANTIC = re.compile(r"[Ii]nput should|valid (integer|number|string|boolean)|[Vv]alue error|unable to parse")


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
@pytest.mark.parametrize("value", ["soon", "-5", "1.5", "[", "9" * 20, "0"])
def test_an_ill_typed_setting_is_one_sentence_of_ours(
    name: str, value: str, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for known, given in (environment | {name.upper(): value}).items():
        monkeypatch.setenv(known, given)
    try:
        load_settings()
    except SettingsError as error:
        said = str(error)
        assert name.upper() in said or "no way to sign in" in said, said
        assert "\n" not in said
        assert not PYDANTIC.search(said), said


@pytest.fixture
async def served(environment: dict[str, str]) -> AsyncIterator[str]:
    """`mcp-oauth-server` as a process of its own, started without naming a command."""
    environment["PUBLIC_URL"] = "http://127.0.0.1:8099"
    arguments = [sys.executable, "-m", "mcp_oauth_dynamicclient", "--port", "0"]
    process = await asyncio.create_subprocess_exec(
        *arguments, env=os.environ | environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(90):
            while b"running on" not in (line := await process.stderr.readline()):
                assert line, "the server ended"
        yield line.decode().split("running on ")[1].split()[0]
    finally:
        process.terminate()
        output, errors = await process.communicate()
    assert b"Traceback" not in output + errors
    assert b"secret-in-a-query" not in output + errors


async def test_it_serves_and_a_query_reaches_no_log(served: str) -> None:
    async with httpx.AsyncClient(base_url=served, timeout=60) as http:
        assert (await http.get("/health?code=secret-in-a-query")).json() == {"status": "healthy"}
        forwarded = {
            "X-Forwarded-Host": "127.0.0.1:8099",
            "X-Forwarded-Uri": "/time/mcp?code=secret-in-a-query",
        }
        response = await http.get("/verify", headers=forwarded)
        assert response.status_code == 401
        assert "server" not in response.headers


@pytest.mark.parametrize("path", ["/.well-known/oauth-authorization-server", "/live", "/nowhere"])
async def test_a_websocket_handshake_gets_the_answer_of_the_same_request_without_it(
    served: str, path: str
) -> None:
    handshake = {
        "Connection": "Upgrade", "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }  # fmt: skip
    async with httpx.AsyncClient(timeout=60) as http:
        plain = await http.get(served + path)
        asked = await http.get(served + path, headers=handshake)
    assert (asked.status_code, asked.content) == (plain.status_code, plain.content)
    assert plain.status_code == (404 if path == "/nowhere" else 200)


async def test_serving_ends_cleanly_on_sigterm(environment: dict[str, str]) -> None:
    arguments = [sys.executable, "-m", "mcp_oauth_dynamicclient", "serve", "--port", "0"]
    process = await asyncio.create_subprocess_exec(
        *arguments, env=os.environ | environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    assert process.stderr is not None
    async with asyncio.timeout(90):
        while b"running on" not in await process.stderr.readline():
            pass
        process.terminate()
        await process.communicate()
    assert process.returncode in (0, -15)


def test_a_server_that_is_interrupted_ends_as_programs_do(environment: dict[str, str]) -> None:
    """Port 0 takes a free one. A shell's background job is born deaf to SIGINT, and so are its children."""
    command = [sys.executable, "-m", "mcp_oauth_dynamicclient", "serve", "--port", "0"]
    with subprocess.Popen(
        command, env=os.environ | environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as server:  # fmt: skip
        assert server.stderr is not None
        for line in server.stderr:
            if "Uvicorn running" in line:
                server.send_signal(signal.SIGINT)
                break
        said = server.stderr.read()
    assert server.returncode == 128 + signal.SIGINT
    assert "Aborted" not in said
