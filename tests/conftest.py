"""The gateway as a whole, for tests that cross packages.

`gateway` is a running one: by default `just run`'s own code, started once for the session on a free port
with its state in a temporary folder. `GATEWAY_SERVER_URL` (with `{name}`), `GATEWAY_ISSUER` and
`GATEWAY_PASSWORD` point the same tests at another that is already running (tests/compose does).
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from playwright.async_api import Page, async_playwright

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
START_WITHIN = 200.0
PATIENCE = 120_000
"""Milliseconds for a step of a browser."""


@dataclass(frozen=True)
class Gateway:
    issuer: str
    server_url: str
    """Where a server is, with `{name}` for its name."""
    password: str
    state: Path | None = None
    """The folder of a local run; None under compose."""

    def server(self, name: str) -> str:
        return self.server_url.format(name=name)


@dataclass
class LocalRun:
    """`just run` as a process."""

    port: int
    state: Path
    process: subprocess.Popen[bytes] | None = None
    start_within: float = START_WITHIN

    def start(self, *arguments: str, starter: tuple[str, ...] = (), **environment: str) -> None:
        """Returns once the gateway says it is ready; fails with everything it printed otherwise."""
        with (self.state / "run.out").open("w") as output:
            self.process = subprocess.Popen(
                [*starter, sys.executable, "-m", "gateway.run", *arguments],
                cwd=ROOT,
                env={
                    **os.environ,
                    "PORT": str(self.port),
                    "GATEWAY_STATE": str(self.state),
                    "COLUMNS": "200",
                    **environment,
                },
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + self.start_within
        while "Ready after" not in (text := self.text()):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                pytest.fail(f"the gateway did not start:\n{text}")
            time.sleep(0.1)

    def text(self) -> str:
        return (self.state / "run.out").read_text()

    def password(self) -> str:
        found = re.search(r"password (\S+)", self.text())
        assert found, self.text()
        return found[1]

    def stop(self) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(timeout=90)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.fixture
def local_run(tmp_path: Path) -> Iterator[LocalRun]:
    """A local run of this test's own, not started yet, ended with the test."""
    run = LocalRun(free_port(), tmp_path)
    yield run
    if run.process is not None:
        run.stop()


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    if "GATEWAY_SERVER_URL" in os.environ:
        yield Gateway(
            os.environ["GATEWAY_ISSUER"], os.environ["GATEWAY_SERVER_URL"], os.environ["GATEWAY_PASSWORD"]
        )
        return
    run = LocalRun(free_port(), tmp_path_factory.mktemp("gateway"))
    run.start(PUBLIC_SERVER_CARDS="true")
    issuer = f"http://localhost:{run.port}"
    yield Gateway(issuer, issuer + "/{name}/mcp", run.password(), run.state)
    run.stop()


@pytest.fixture(autouse=True)
def _localhost_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names under .localhost are loopback (RFC 6761 section 6.3); not every C library knows it."""
    resolve = socket.getaddrinfo

    def resolve_localhost(host: object, *args: object, **options: object) -> object:
        if isinstance(host, str) and host.endswith(".localhost"):
            host = "127.0.0.1"
        return resolve(host, *args, **options)  # type: ignore[arg-type]  # passed through unchanged

    monkeypatch.setattr(socket, "getaddrinfo", resolve_localhost)


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=90) as client:
        yield client


class Person:
    """Somebody with a browser who knows the password of the account `admin`."""

    def __init__(self, page: Page, gateway: Gateway) -> None:
        self.page = page
        self.gateway = gateway

    async def approve(self, url: str) -> None:
        """Open an authorization URL, approve the consent page, sign in if asked."""
        await self.page.goto(url)
        await self.page.get_by_role("button", name="Approve", exact=True).click()
        await self.sign_in_if_asked()

    async def arrive(self, callback: str) -> None:
        """Until the browser is there too, which would interrupt where it is sent next."""
        await self.page.wait_for_url(lambda url: url.startswith(callback))

    async def sign_in_if_asked(self) -> None:
        password = self.page.get_by_label("Password")
        if await password.count():
            await self.page.get_by_label("Account name").fill("admin")
            await password.fill(self.gateway.password)
            await self.page.get_by_role("button", name="Sign in").click()


@asynccontextmanager
async def browser_page() -> AsyncIterator[Page]:
    """A page of a headless Chromium of its own; more of them: `page.context.new_page()`."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"),
            args=CHROMIUM_FLAGS,
            timeout=PATIENCE,
        )
        context = await browser.new_context()
        context.set_default_timeout(PATIENCE)
        yield await context.new_page()
        await browser.close()


@pytest.fixture
async def person(gateway: Gateway) -> AsyncIterator[Person]:
    async with browser_page() as page:
        yield Person(page, gateway)


@dataclass
class Callback:
    """A client's loopback redirect listener (RFC 8252 section 7.3)."""

    uri: str
    _answer: asyncio.Future[dict[str, str]]

    @property
    def called(self) -> bool:
        return self._answer.done()

    async def answer(self) -> dict[str, str]:
        """The parameters of the redirect, once the browser has followed it."""
        return await asyncio.wait_for(self._answer, 90)


@asynccontextmanager
async def listen_for_callback() -> AsyncIterator[Callback]:
    answer: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target = (await reader.readline()).split()[1].decode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\ndone")
        await writer.drain()
        writer.close()
        if target.startswith("/callback?") and not answer.done():
            answer.set_result(dict(parse_qsl(urlsplit(target).query)))

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield Callback(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/callback", answer)
    finally:
        server.close()


@pytest.fixture
async def callback() -> AsyncIterator[Callback]:
    async with listen_for_callback() as listener:
        yield listener
