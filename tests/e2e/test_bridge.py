"""mcp-streamablehttp-client against the whole gateway, as a person and as Claude Desktop use it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters

from tests.conftest import ROOT, Gateway

PROGRAM = str(Path(sys.executable).with_name("mcp-streamablehttp-client"))


@dataclass
class Done:
    status: int
    stdout: str
    stderr: str


@pytest.fixture
def environment(gateway: Gateway, tmp_path: Path) -> dict[str, str]:
    """A home of its own, and a browser with the test person behind it."""
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "BROWSER": f"{sys.executable} -m tests.e2e.approve %s",
        "GATEWAY_PASSWORD": gateway.password,
        "MCP_FIRST_ANSWER": "60",
        "CREDENTIAL_STORAGE_PATH": str(tmp_path / "credentials"),
    }


async def command(environment: Mapping[str, str], *arguments: str) -> Done:
    process = await asyncio.create_subprocess_exec(
        PROGRAM,
        *arguments,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    stdout, stderr = await asyncio.wait_for(process.communicate(), 90)
    assert process.returncode is not None
    return Done(process.returncode, stdout.decode(), stderr.decode())


def stored_secrets(place: Path) -> list[str]:
    """Every token in the files below `place`."""
    found = []
    for path in place.rglob("*.json"):
        for value in _strings(json.loads(path.read_text())):
            if len(value) > 30 and "://" not in value and " " not in value:
                found.append(value)
    return found


def _strings(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for member in value.values() for text in _strings(member)]
    if isinstance(value, list):
        return [text for member in value for text in _strings(member)]
    return [value] if isinstance(value, str) else []


@pytest.mark.browser
async def test_signed_in_once_a_person_lists_and_calls_and_a_host_connects(
    gateway: Gateway, environment: dict[str, str], tmp_path: Path
) -> None:
    url = gateway.server("time")
    login = await command(environment, "login", url)
    assert login.status == 0, login.stderr

    tools = await command(environment, "tools", url)
    assert tools.status == 0, tools.stderr
    assert "get_current_time" in tools.stdout
    called = await command(environment, "call", url, "get_current_time", "timezone=UTC")
    assert called.status == 0, called.stderr
    assert "UTC" in called.stdout
    wrong = await command(environment, "call", url, "get_current_time", "timezone=Nowhere/At/All")
    assert wrong.status != 0

    walked = await command(environment, "doctor", url, "--json")
    hops = json.loads(walked.stdout)["hops"]
    assert walked.status == 0, hops
    assert {hop["state"] for hop in hops} <= {"well", "unseen"}, hops
    assert {hop["hop"] for hop in hops} >= {
        "issuer",
        "authorize",
        "token",
        "refresh",
        "audience",
        "handshake",
    }
    bare = await command(environment, "doctor", url.removesuffix("/mcp"))
    assert bare.status == 1
    assert f"cure: use {url}" in bare.stdout

    # As in claude_desktop_config.json: the bridge is the host's stdio server, and no browser opens now.
    quiet = {**environment, "BROWSER": "false"}
    server = StdioServerParameters(command=PROGRAM, args=[url], env=quiet)
    async with Client(server, mode="legacy") as client:
        assert "get_current_time" in [tool.name for tool in (await client.list_tools()).tools]
        result = await client.call_tool("get_current_time", {"timezone": "UTC"})
        assert "UTC" in str(result.content)

    secrets = stored_secrets(tmp_path / "credentials")
    assert secrets
    for done in (login, tools, called, wrong):
        assert not [secret for secret in secrets if secret in done.stdout + done.stderr]


@pytest.mark.browser
async def test_a_host_that_was_never_signed_in_gets_the_browser_and_then_an_answer(
    gateway: Gateway, environment: dict[str, str]
) -> None:
    server = StdioServerParameters(command=PROGRAM, args=[gateway.server("echo-stateless")], env=environment)
    async with Client(server, mode="legacy", read_timeout_seconds=90) as client:
        result = await client.call_tool("echo", {"message": "over the bridge"})
        assert "over the bridge" in str(result.content)


@pytest.mark.browser
async def test_a_modern_host_reaches_a_modern_server(gateway: Gateway, environment: dict[str, str]) -> None:
    url = gateway.server("echo-stateful")
    assert (await command(environment, "login", url)).status == 0
    server = StdioServerParameters(command=PROGRAM, args=[url], env=environment)
    async with Client(server, mode="2026-07-28") as client:
        assert len((await client.list_tools()).tools) == 17


@pytest.mark.browser
async def test_after_logout_the_token_is_gone_everywhere(
    gateway: Gateway, environment: dict[str, str], tmp_path: Path
) -> None:
    url = gateway.server("fetch")
    assert (await command(environment, "login", url)).status == 0
    assert (await command(environment, "logout", url)).status == 0
    after = await command({**environment, "BROWSER": "false"}, "status", url)
    assert "signed in" not in after.stdout.lower() or "not signed in" in after.stdout.lower()
    assert not stored_secrets(tmp_path / "credentials")
