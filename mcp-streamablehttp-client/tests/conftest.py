"""Real servers on loopback: an MCP server of the SDK, scripted ones, and an authorization server."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from starlette.types import ASGIApp

from .oauth_server import Gate, OAuth
from .support import COMMAND, Finished, Host, Run, Serve, ServeWithOrigin, StartBridge, sdk_server, serving


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Takes an app, and returns its origin."""
    with ExitStack() as stack:
        yield lambda app: stack.enter_context(serving(lambda _: app))


@pytest.fixture
def serve_with_origin() -> Iterator[ServeWithOrigin]:
    """Takes what makes an app for an origin, and returns the origin."""
    with ExitStack() as stack:
        yield lambda make: stack.enter_context(serving(make))


@pytest.fixture(scope="session")
def sdk_url() -> Iterator[str]:
    """The URL of an open MCP server of the SDK (both eras)."""
    with serving(lambda _: sdk_server()) as origin:
        yield f"{origin}/mcp"


@pytest.fixture
def oauth() -> Iterator[OAuth]:
    holder: list[OAuth] = []

    def make(origin: str) -> ASGIApp:
        holder.append(OAuth(origin))
        return Gate(holder[0], sdk_server())

    with serving(make):
        yield holder[0]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A person with an empty store and a browser that follows redirects at once; it also writes
    to stdout, as browsers do."""
    browser = tmp_path / "browser.py"
    browser.write_text(
        "import sys, urllib.request, pathlib\n"
        "print('browser chatter')\n"
        f"log = open({str(tmp_path / 'browsed')!r}, 'a'); log.write(sys.argv[1] + chr(10)); log.close()\n"
        "try: urllib.request.urlopen(sys.argv[1], timeout=60).read()\n"
        "except OSError: pass\n"
        f"open({str(tmp_path / 'returned')!r}, 'w').close()\n"
    )
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return kept | {
        "BROWSER": f"{sys.executable} {browser} %s",
        "CREDENTIAL_STORAGE_PATH": str(tmp_path / "credentials"),
        "MCP_FIRST_ANSWER": "60",
    }


@pytest.fixture
def run(environment: dict[str, str]) -> Run:
    """await run("tools", url): one command, as a person types it."""

    async def start(*words: str, env: dict[str, str] | None = None, stdin: bytes = b"") -> Finished:
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            *words,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment | (env or {}),
        )
        try:
            out, err = await asyncio.wait_for(process.communicate(stdin), 90)
        except TimeoutError:
            process.kill()
            raise
        assert "Traceback" not in err.decode()
        return Finished(process.returncode or 0, out.decode(), err.decode())

    return start


@pytest.fixture
async def bridge(environment: dict[str, str]) -> AsyncIterator[StartBridge]:
    """Takes a URL and options, and returns the host of a bridge."""
    hosts: list[Host] = []

    async def start(url: str, *options: str, env: dict[str, str] | None = None) -> Host:
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            url,
            *options,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment | (env or {}),
            limit=1 << 27,
        )
        hosts.append(Host(process))
        return hosts[-1]

    yield start
    for host in hosts:
        if host.process.returncode is None and not host._closed:
            host.process.terminate()
        await host.close()
