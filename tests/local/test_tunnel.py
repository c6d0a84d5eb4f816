"""A local run under a public address: behind whatever was set up, or behind a tunnel that it starts.

The tunnels' services cannot be reached from a test: their programs are played by scripts that print what the
real ones print, and what a tunnel does to requests is done by Caddy, which passes on the public Host.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.tunnel import TUNNELS
from tests.conftest import ROOT, LocalRun, free_port
from tests.local.test_expired import issue

HOST = "gateway.example"
ELSEWHERE = "203.0.113.9"
BOX = """\
2026-11-28T10:00:00Z INF Requesting new quick Tunnel on trycloudflare.com...
2026-11-28T10:00:03Z INF +----------------------------------------------------------------------------+
2026-11-28T10:00:03Z INF |  Your quick Tunnel has been created! Visit it at (it may take some time):  |
2026-11-28T10:00:03Z INF |  https://four-words-in-a-row.trycloudflare.com                             |
2026-11-28T10:00:03Z INF +----------------------------------------------------------------------------+
"""
NGROK = """\
{"addr":"127.0.0.1:4040","lvl":"info","msg":"starting web service","obj":"web"}
{"addr":"http://127.0.0.1:8080","lvl":"info","msg":"started tunnel","name":"command_line","obj":"tunnels",\
"url":"https://a-name-of-ngroks.ngrok-free.app"}
"""
TAILSCALE = """\
Available on the internet:

https://machine.tail-net.ts.net/
|-- proxy http://127.0.0.1:8080

Press Ctrl+C to exit.
"""
PRINTED = {
    "cloudflared": (BOX, "https://four-words-in-a-row.trycloudflare.com"),
    "ngrok": (NGROK, "https://a-name-of-ngroks.ngrok-free.app"),
    "tailscale": (TAILSCALE, "https://machine.tail-net.ts.net"),
}


@contextmanager
def reverse_proxy(to: int) -> Iterator[int]:
    """What sends requests on as a tunnel does: with the Host they came with, and who sent them."""
    program = shutil.which("caddy")
    assert program is not None, "caddy is not installed"
    port = free_port()
    options = ("--from", f"http://:{port}", "--to", f"127.0.0.1:{to}")
    process = subprocess.Popen([program, "reverse-proxy", *options], stderr=subprocess.DEVNULL)
    try:
        yield port
    finally:
        process.terminate()
        process.wait(60)


def through(port: int, method: str, path: str, host: str, **options: Any) -> httpx.Response:
    """The answer, once the proxy listens."""
    added = {"Host": host, "X-Forwarded-For": ELSEWHERE, "X-Forwarded-Proto": "https"}
    headers = {**options.pop("headers", {}), **added}
    deadline = time.monotonic() + 60
    while True:
        try:
            url = f"http://127.0.0.1:{port}{path}"
            return httpx.request(method, url, headers=headers, timeout=60, **options)
        except httpx.TransportError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def check(port: int, public: str) -> None:
    host = public.removeprefix("https://")
    issuer = through(port, "GET", "/.well-known/oauth-authorization-server", host).json()["issuer"]
    assert issuer == public
    refused = through(port, "POST", "/time/mcp", host)
    assert refused.status_code == 401
    metadata = f"{public}/.well-known/oauth-protected-resource/time/mcp"
    assert f'resource_metadata="{metadata}"' in refused.headers["www-authenticate"]
    told = through(port, "GET", metadata.removeprefix(public), host).json()
    assert told["resource"] == f"{public}/time/mcp"


def test_a_public_address_of_ones_own_starts_and_is_served(local_run: LocalRun) -> None:
    public = f"https://{HOST}"
    local_run.start(PUBLIC_URL=public)
    assert f"{public}/time/mcp" in local_run.text()
    token = asyncio.run(issue(local_run, f"{public}/fetch/mcp", time.time, public))
    with reverse_proxy(local_run.port) as port:
        check(port, public)
        call = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json, text/event-stream"}
        answer = through(port, "POST", "/fetch/mcp", HOST, json=call, headers=headers)
    assert answer.status_code not in (401, 403, 421, 502, 503), answer.text
    assert "jsonrpc" in answer.text


def test_subdomains_in_a_local_run(local_run: LocalRun) -> None:
    domain = f"gateway.localhost:{local_run.port}"
    local_run.start(BASE_DOMAIN=domain)
    assert f"http://time.{domain}/mcp" in local_run.text()
    answer = httpx.post(
        f"http://127.0.0.1:{local_run.port}/mcp", headers={"Host": f"time.{domain}"}, timeout=60
    )
    assert answer.status_code == 401
    assert f"http://time.{domain}/.well-known/oauth-protected-resource" in answer.headers["www-authenticate"]


def program(folder: Path, name: str, text: str, status: int | None = None) -> str:
    """A PATH on which the tunnel's program is one that prints this, and then stays or ends; it notes how it
    was started."""
    ends = "time.sleep(600)" if status is None else f"sys.exit({status})"
    file = folder / name
    file.write_text(
        f"#!{sys.executable}\nimport json, sys, time\n"
        f"open({str(folder / 'arguments')!r}, 'w').write(json.dumps(sys.argv[1:]))\n"
        f"print({text!r}, end='', flush=True)\n{ends}\n"
    )
    file.chmod(0o700)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def test_a_run_brings_its_own_tunnel(local_run: LocalRun, tmp_path: Path) -> None:
    text, public = PRINTED["cloudflared"]
    local_run.start("--tunnel", "cloudflared", PATH=program(tmp_path, "cloudflared", text))
    assert f"{public}/time/mcp" in local_run.text()
    assert "another each time" in local_run.text()
    arguments = json.loads((tmp_path / "arguments").read_text())
    assert f"http://127.0.0.1:{local_run.port}" in arguments
    with reverse_proxy(local_run.port) as port:
        check(port, public)


@pytest.mark.parametrize("name", TUNNELS)
def test_each_tunnel_tells_its_address_in_its_own_words(name: str) -> None:
    text, public = PRINTED[name]
    told = [address for line in text.splitlines() if (address := TUNNELS[name].address(line))]
    assert told == [public]
    other = [text for known, (text, _) in PRINTED.items() if known != name]
    assert not any(TUNNELS[name].address(line) for text in other for line in text.splitlines())


def run(state: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gateway.run", *arguments],
        cwd=ROOT,
        env={**os.environ, "GATEWAY_STATE": str(state), "PORT": str(free_port()), **environment},
        capture_output=True,
        text=True,
        timeout=100,
    )


@pytest.mark.parametrize("name", TUNNELS)
def test_a_tunnel_that_is_not_installed_is_one_line(tmp_path: Path, name: str) -> None:
    done = run(tmp_path / "state", "--tunnel", name, PATH=str(tmp_path))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith(f"run: {name} is not installed: https://")


def test_a_tunnel_that_cannot_start_says_why(tmp_path: Path) -> None:
    path = program(tmp_path, "ngrok", "ERROR: authentication failed: no authtoken\n", 1)
    done = run(tmp_path / "state", "--tunnel", "ngrok", PATH=path)
    assert done.returncode == 2
    assert done.stderr == "run: ngrok ended:\nERROR: authentication failed: no authtoken\n"


def test_a_tunnel_and_an_address_contradict_each_other(tmp_path: Path) -> None:
    path = program(tmp_path, "ngrok", "")
    done = run(tmp_path / "state", "--tunnel", "ngrok", PATH=path, PUBLIC_URL=f"https://{HOST}")
    assert done.returncode == 2
    assert "unset PUBLIC_URL" in done.stderr
