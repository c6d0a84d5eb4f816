"""Serving: the socket, the signals, the end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from common.serving import CannotListenError, address, listen

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PROGRAM = """
import asyncio, sys
from common.serving import address, listen, serve, server

ended = asyncio.Event()

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"begun", "more_body": True})
    if scope["path"] == "/standing":
        await ended.wait()
    await send({"type": "http.response.body", "body": b"done"})

def hangup():
    print("hangup", flush=True)

listener = listen(sys.argv[1], 0)
print(address(listener), flush=True)
drain = float(sys.argv[2])
options = {"at_end": ended.set, "hangup": hangup, "lifespan": "off", "log_level": "error"}
serve(server(app, grace=30, drain=drain, **options), listener)
"""


@pytest.fixture(params=["0"])
def program(request: pytest.FixtureRequest) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Its process and address; the parameter is for how many seconds it drains."""
    command = [sys.executable, "-c", PROGRAM, "127.0.0.1", request.param]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=os.environ
    )
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize(("sig", "status"), [(signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, 130)])
def test_a_standing_stream_is_ended_and_the_process_goes(
    program: tuple[subprocess.Popen[str], str], sig: signal.Signals, status: int
) -> None:
    process, url = program
    with httpx.stream("GET", f"{url}/standing", trust_env=False, timeout=60) as answer:
        chunks = answer.iter_text()
        assert next(chunks) == "begun"
        process.send_signal(sig)
        assert "".join(chunks) == "done"
    assert process.wait(60) == status


def status(url: str) -> int:
    return httpx.get(url, trust_env=False, timeout=60).status_code


@pytest.mark.parametrize("program", ["60"], indirect=True)
@pytest.mark.parametrize(("sig", "code"), [(signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, 130)])
def test_a_draining_server_says_so_and_answers_until_a_second_signal(
    program: tuple[subprocess.Popen[str], str], sig: signal.Signals, code: int
) -> None:
    process, url = program
    assert status(f"{url}/health") == 200
    with httpx.stream("GET", f"{url}/standing", trust_env=False, timeout=60) as answer:
        chunks = answer.iter_text()
        assert next(chunks) == "begun"
        process.send_signal(signal.SIGTERM)
        while status(f"{url}/health") == 200:
            pass
        assert status(f"{url}/health") == status(f"{url}/time/health") == 503
        assert status(f"{url}/mcp") == 200
        process.send_signal(sig)
        assert "".join(chunks) == "done"
    assert process.wait(60) == code


@pytest.mark.parametrize("program", ["60"], indirect=True)
def test_a_draining_server_keeps_no_connection(program: tuple[subprocess.Popen[str], str]) -> None:
    process, url = program
    with httpx.Client(trust_env=False, timeout=60) as client:
        assert "connection" not in client.get(f"{url}/health").headers
        process.send_signal(signal.SIGTERM)
        while client.get(f"{url}/health").status_code == 200:
            pass
        for path in ("/health", "/mcp"):
            assert client.get(f"{url}{path}").headers["connection"] == "close"


@pytest.mark.parametrize("program", ["0.1"], indirect=True)
def test_a_draining_server_ends_by_itself(program: tuple[subprocess.Popen[str], str]) -> None:
    process, url = program
    with httpx.stream("GET", f"{url}/standing", trust_env=False, timeout=60) as answer:
        chunks = answer.iter_text()
        assert next(chunks) == "begun"
        process.terminate()
        assert "".join(chunks) == "done"
    assert process.wait(60) == -signal.SIGTERM


@pytest.mark.parametrize("program", ["60"], indirect=True)
def test_an_interrupt_ends_a_server_that_would_drain(program: tuple[subprocess.Popen[str], str]) -> None:
    process, url = program
    assert status(f"{url}/mcp") == 200
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130


def test_a_hangup_is_passed_on_and_ends_nothing(program: tuple[subprocess.Popen[str], str]) -> None:
    process, url = program
    assert httpx.get(f"{url}/", trust_env=False, timeout=60).text == "begundone"
    process.send_signal(signal.SIGHUP)
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "hangup"
    assert httpx.get(f"{url}/", trust_env=False, timeout=60).text == "begundone"


def test_a_taken_port_is_said_in_one_line() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            CannotListenError, match=f"cannot listen on 127.0.0.1 port {port}: .*in use.*MCP_PORT"
        ):
            listen("127.0.0.1", port)


def test_a_name_that_does_not_exist_is_said_in_one_line() -> None:
    with pytest.raises(CannotListenError, match=r"cannot listen on no-such-host\.invalid port 0"):
        listen("no-such-host.invalid", 0)


@pytest.mark.skipif(not socket.has_ipv6, reason="this system has no IPv6")
@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_ipv6_addresses_are_taken_with_and_without_brackets(host: str) -> None:
    with listen(host, 0) as listener:
        assert address(listener).startswith("http://[::1]:")
