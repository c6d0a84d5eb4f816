"""The console script: help without an environment, one line for a bad setting, a clean end."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

import httpx
import pytest

COMMAND = [sys.executable, "-W", "error", "-m", "mcp_fetch_streamablehttp_server"]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], env=environment, capture_output=True, text=True, timeout=180, check=False
    )


def test_help_needs_no_environment() -> None:
    answer = run("--help")
    assert answer.returncode == 0
    assert "--port" in answer.stdout


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({"MCP_PORT": "-1"}, "MCP_PORT must be a port number from 0 to 65535, not '-1'"),
        (
            {"MCP_FETCH_ALLOW_HOSTS": "wiki.internal"},
            "MCP_FETCH_ALLOW_HOSTS must be a comma list of host:port such as wiki.internal:80 "
            "or [fd00::7]:8080, not 'wiki.internal'",
        ),
        (
            {"MCP_FETCH_ALLOWED_PORTS": "80,http"},
            "MCP_FETCH_ALLOWED_PORTS must be a comma list of port numbers such as 80,443, or * for any, "
            "not '80,http'",
        ),
        ({"MCP_FETCH_ROBOTS": "maybe"}, "MCP_FETCH_ROBOTS must be true or false, not 'maybe'"),
        (
            {"MCP_FETCH_MAX_REDIRECTS": "99"},
            "MCP_FETCH_MAX_REDIRECTS must be a whole number from 0 to 20, not '99'",
        ),
    ],
)
def test_a_bad_setting_is_one_line_and_status_2(environment: dict[str, str], line: str) -> None:
    answer = run(**environment)
    assert answer.returncode == 2
    assert answer.stderr.strip().partition(": ")[2] == line


def test_it_starts_serves_and_ends_on_sigterm() -> None:
    process = subprocess.Popen([*COMMAND, "--port", "0"], env={}, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        address = next(match[1] for line in process.stderr if (match := re.search(r"(http://\S+)/mcp", line)))
        assert httpx.get(f"{address}/health", trust_env=False, timeout=60).json() == {"status": "healthy"}
        process.send_signal(signal.SIGTERM)
        log = process.stderr.read()
        process.wait(60)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(60)
        process.stderr.close()
    assert "Traceback" not in log
    assert "Finished server process" in log


def test_the_earlier_pydantic_is_not_imported_at_the_start() -> None:
    """FastAPI imports it with the first model or argument of a route: a twentieth of the start."""
    code = "import sys, mcp_fetch_streamablehttp_server.app as a; a.create_app()"
    code += "; sys.exit('pydantic.v1' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
