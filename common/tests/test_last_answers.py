"""Calls that a server has taken are answered though it is told to end; standing streams end."""

from __future__ import annotations

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PROGRAM = """
import asyncio, sys
from sse_starlette.sse import EventSourceResponse
from common.last_answers import LastAnswers
from common.serving import address, listen, serve, server

told = asyncio.Event()

async def answer():
    yield {"data": "the answer"}

async def nothing():
    yield {"data": "begun"}
    await asyncio.Event().wait()

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        for moment in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{moment}.complete"})
        return
    while scope["method"] == "POST" and (await receive())["more_body"]:
        pass
    if scope["method"] == "GET" or scope["path"] == "/listen":
        await EventSourceResponse(nothing())(scope, receive, send)
        return
    print("taken", flush=True)
    await (asyncio.Event() if scope["path"] == "/never" else told).wait()
    await EventSourceResponse(answer())(scope, receive, send)

last = LastAnswers(app)

def at_end():
    told.set()
    last.end()

listener = listen("127.0.0.1", 0)
print(address(listener), flush=True)
serve(server(last, grace=int(sys.argv[1]), at_end=at_end, log_level="error"), listener)
"""


@pytest.fixture(params=["60"])
def program(request: pytest.FixtureRequest) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Its process and address; the parameter is how many seconds calls are given."""
    command = [sys.executable, "-c", PROGRAM, request.param]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def ended_while_it_calls(process: subprocess.Popen[str], url: str) -> httpx.Response:
    assert process.stdout is not None
    with ThreadPoolExecutor() as threads:
        call = threads.submit(httpx.post, url, trust_env=False, timeout=60)
        assert process.stdout.readline() == "taken\n"
        process.terminate()
        return call.result()


def test_a_call_that_was_taken_is_answered(program: tuple[subprocess.Popen[str], str]) -> None:
    process, url = program
    answer = ended_while_it_calls(process, url)
    assert answer.status_code == 200, answer.text
    assert "the answer" in answer.text
    assert process.wait(60) == -signal.SIGTERM


@pytest.mark.parametrize("program", ["1"], indirect=True)
def test_one_that_takes_longer_than_its_grace_is_told_so(program: tuple[subprocess.Popen[str], str]) -> None:
    process, url = program
    answer = ended_while_it_calls(process, f"{url}/never")
    assert answer.status_code == 503
    assert "may have been carried out" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [("GET", "/", {}), ("POST", "/listen", {"Mcp-Method": "subscriptions/listen"})],
)
def test_a_standing_stream_keeps_no_process(
    program: tuple[subprocess.Popen[str], str], method: str, path: str, headers: dict[str, str]
) -> None:
    process, url = program
    content = b"{}" if method == "POST" else None
    with httpx.stream(
        method, url + path, headers=headers, content=content, trust_env=False, timeout=60
    ) as stream:
        lines = stream.iter_lines()
        assert next(lines) == "data: begun"
        process.terminate()
        assert process.wait(60) == -signal.SIGTERM
