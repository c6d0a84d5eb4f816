"""A sign-in outlives the host that began it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeVar

import httpx
import pytest

from .oauth_server import OAuth
from .support import StartBridge

T = TypeVar("T")
pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks into /proc")


def helpers() -> dict[int, list[str]]:
    """Process id and arguments of every sign-in helper that runs."""
    found = {}
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            try:
                words = (place / "cmdline").read_bytes().decode().split("\0")
            except OSError:
                continue
            if "mcp_streamablehttp_client.oauth.helper" in words:
                found[int(place.name)] = words
    return found


@pytest.fixture
def waiting_person(environment: dict[str, str], tmp_path: Path) -> Path:
    """A browser that only notes the address: its person takes their time."""
    noted = tmp_path / "address"
    script = tmp_path / "slow.py"
    script.write_text(f"import sys, pathlib\npathlib.Path({str(noted)!r}).write_text(sys.argv[1])\n")
    environment["BROWSER"] = f"{environment['BROWSER'].split()[0]} {script} %s"
    environment["MCP_FIRST_ANSWER"] = "0.2"
    return noted


async def until(condition: Callable[[], T | Literal[False]]) -> T:
    async with asyncio.timeout(90):
        while not (found := condition()):
            await asyncio.sleep(0.02)
    return found


async def test_the_host_is_killed_the_person_signs_in_and_the_next_start_is_silent(
    oauth: OAuth, bridge: StartBridge, waiting_person: Path, environment: dict[str, str]
) -> None:
    before = set(helpers())
    host = await bridge(oauth.url, "--client-id", "known", "--client-secret", "s3cr3t-of-the-client")
    oauth.metadata["registration_endpoint"] = None
    assert "result" in await host.handshake()
    host.request(1, "tools/list")
    assert [tool["name"] for tool in (await host.answer(1))["result"]["tools"]] == ["sign_in"]
    address = await until(lambda: waiting_person.exists() and waiting_person.read_text())
    (helper,) = set(helpers()) - before
    assert not any("s3cr3t" in word or "http:" in word for word in helpers()[helper])
    pipes = {Path(f"/proc/{host.process.pid}/fd/{number}").readlink() for number in (0, 1, 2)}
    held = {one.readlink() for one in Path(f"/proc/{helper}/fd").iterdir()}
    assert not {one for one in pipes & held if "pipe" in str(one)}
    assert os.getsid(helper) != os.getsid(host.process.pid)

    host.process.send_signal(signal.SIGKILL)
    await host.process.wait()
    query = dict(httpx.URL(address).params)
    oauth.clients["known"] = {"redirect_uris": [query["redirect_uri"]]}
    async with httpx.AsyncClient(trust_env=False, timeout=60) as web:
        assert (await web.get(address, follow_redirects=True)).status_code == 200
    await until(lambda: helper not in helpers())

    environment["MCP_FIRST_ANSWER"] = "60"
    again = await bridge(oauth.url)
    assert (await again.handshake())["result"]["serverInfo"]["name"] == "fixture"
    assert oauth.count("authorize") == 1


async def test_a_refusal_in_the_helper_is_told_to_the_host(
    oauth: OAuth, bridge: StartBridge, environment: dict[str, str]
) -> None:
    oauth.redirect_extra = {"error": "access_denied", "error_description": "Not today"}
    oauth.drop_parameters = ("code",)
    host = await bridge(oauth.url)
    assert "access_denied: Not today" in (await host.handshake())["error"]["message"]
    notes = list(Path(environment["CREDENTIAL_STORAGE_PATH"]).glob("tokens-*.json"))
    assert notes == []
