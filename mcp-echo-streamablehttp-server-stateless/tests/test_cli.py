"""The console script: help without an environment, one line for a bad setting, a clean end."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

MODULE = "mcp_echo_streamablehttp_server_stateless"
COMMAND = [sys.executable, "-W", "error", "-m", MODULE]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], env=environment, capture_output=True, text=True, timeout=180, check=False
    )


@contextmanager
def running(**environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server process on a free port, and its address as its log gives it."""
    process = subprocess.Popen([*COMMAND, "--port", "0"], env=environment, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        address = next(
            match[1]
            for line in process.stderr
            if (match := re.search(r"Listening on (http://\S+)/mcp", line))
        )
        yield process, address
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(60)
        process.stderr.close()


def test_help_needs_no_environment() -> None:
    answer = run("--help")
    assert answer.returncode == 0
    assert "--port" in answer.stdout


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({"MCP_PORT": "http"}, "MCP_PORT must be a port number from 0 to 65535, not 'http'"),
        ({"MCP_ECHO_PORT": "70000"}, "MCP_ECHO_PORT must be a port number from 0 to 65535, not '70000'"),
        ({"MCP_TRUST_IDENTITY": "perhaps"}, "MCP_TRUST_IDENTITY must be true or false, not 'perhaps'"),
        (
            {"MCP_ALLOWED_HOSTS": "https://example.com/mcp"},
            "MCP_ALLOWED_HOSTS must be a comma list of host names such as time.example.com, *.example.com "
            "or localhost:3000, not 'https://example.com/mcp'",
        ),
        (
            {"MCP_ALLOWED_ORIGINS": "https://example.com/page"},
            "MCP_ALLOWED_ORIGINS must be a comma list of origins such as https://app.example.com, "
            "*.example.com or localhost, not 'https://example.com/page'",
        ),
    ],
)
def test_a_bad_setting_is_one_line_and_status_2(environment: dict[str, str], line: str) -> None:
    answer = run(**environment)
    assert answer.returncode == 2
    assert answer.stderr.strip().partition(": ")[2] == line


def test_a_taken_port_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        answer = run("--port", port)
    assert answer.returncode == 2
    assert answer.stderr.count("\n") == 1
    assert f"port {port}" in answer.stderr
    assert "MCP_PORT" in answer.stderr


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_starts_serves_and_ends_on_a_signal(number: signal.Signals) -> None:
    with running() as (process, address):
        assert httpx.get(f"{address}/health", trust_env=False, timeout=60).json() == {"status": "healthy"}
        process.send_signal(number)
        assert process.stderr is not None
        log = process.stderr.read()
        process.wait(60)
    assert "Traceback" not in log
    assert "Finished server process" in log
