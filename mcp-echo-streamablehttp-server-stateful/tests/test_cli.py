"""The console script: help without an environment, one line for a bad setting, an end with streams open."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

COMMAND = [sys.executable, "-W", "error", "-m", "mcp_echo_streamablehttp_server_stateful"]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], env=environment, capture_output=True, text=True, timeout=180, check=False
    )


def test_help_needs_no_environment() -> None:
    answer = run("--help")
    assert answer.returncode == 0
    assert "--session-timeout" in answer.stdout


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        (
            {"MCP_SESSION_TIMEOUT": "-5"},
            "MCP_SESSION_TIMEOUT must be a number of idle seconds, more than 0 and at most 604800, not '-5'",
        ),
        (
            {"MCP_ECHO_STATE_URL": "postgres://db"},
            "MCP_ECHO_STATE_URL must be sqlite:///FILE, redis://USER:PASSWORD@HOST:PORT/0 for several "
            "replicas, or memory:, not 'postgres://db'",
        ),
        (
            {"MCP_ECHO_STATE_URL": "sqlite:////nowhere/echo.db"},
            "MCP_ECHO_STATE_URL cannot be used: /nowhere/echo.db: unable to open database file",
        ),
        (
            {"MCP_MAX_SESSIONS": "many"},
            "MCP_MAX_SESSIONS must be a whole number from 1 to 100000, not 'many'",
        ),
    ],
)
def test_a_bad_setting_is_one_line_and_status_2(environment: dict[str, str], line: str) -> None:
    answer = run(**environment)
    assert answer.returncode == 2
    assert answer.stderr.strip().partition(": ")[2] == line


def test_it_ends_on_sigterm_while_a_client_holds_a_stream(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "--port", "0"], env={}, cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    try:
        url = next(match[1] for line in process.stderr if (match := re.search(r"(http://\S+/mcp)", line)))
        hello = {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "t", "version": "1"},
        }
        with httpx.Client(
            trust_env=False, timeout=60, headers={"Accept": "application/json, text/event-stream"}
        ) as http:
            body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}
            session = http.post(url, json=body).headers["mcp-session-id"]
            with http.stream("GET", url, headers={"Mcp-Session-Id": session}) as stream:
                assert stream.status_code == 200
                process.send_signal(signal.SIGTERM)
                log = process.stderr.read()
                process.wait(60)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(60)
        process.stderr.close()
    assert "Traceback" not in log
    assert session not in log
