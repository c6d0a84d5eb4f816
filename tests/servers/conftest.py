"""Unmodified servers from npm and PyPI, all behind one real proxy, and the SDK's client in every mode."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client
from mcp.client.context import ClientRequestContext
from mcp.types import (
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitRequestParams,
    ElicitResult,
    ListRootsResult,
    Root,
    TextContent,
)
from pydantic import FileUrl

from gateway.node import NODE, installed
from tests.proxy_process import proxy_process

NPM_VERSION = "2026.8.31"
MODERN = "2026-07-28"
MODES = ("legacy", "auto", MODERN)
CAPABILITIES = {"elicitation": {"form": {}, "url": {}}, "sampling": {}, "roots": {"listChanged": True}}
"""What the SDK's client declares when it has all callbacks."""

Command = tuple[str, ...]
Connect = Callable[..., AbstractAsyncContextManager[Client]]


def npm(name: str, *arguments: str) -> Command:
    folder = installed(f"@modelcontextprotocol/server-{name}", NPM_VERSION)
    return (str(NODE), str(folder / "dist" / "index.js"), *arguments)


def pypi(module: str, *arguments: str) -> Command:
    return (sys.executable, "-m", module, *arguments)


@dataclass(frozen=True)
class Places:
    """What the servers work on."""

    files: Path
    repository: Path


@pytest.fixture(scope="session")
def places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    base = tmp_path_factory.mktemp("places")
    found = Places(base / "files", base / "repository")
    found.files.mkdir()
    (found.files / "note.txt").write_text("kept in a file\n")
    git = ("git", "-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-C", str(found.repository))
    subprocess.run(["git", "init", "--quiet", found.repository], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", "the first commit"], check=True)
    return found


@pytest.fixture(scope="session")
def commands(places: Places) -> dict[str, Command]:
    return {
        "everything": npm("everything"),
        "memory": npm("memory"),
        "filesystem": npm("filesystem", str(places.files)),
        "sequential-thinking": npm("sequential-thinking"),
        "time": pypi("mcp_server_time", "--local-timezone", "UTC"),
        "fetch": pypi("mcp_server_fetch", "--allow-private-ips", "--ignore-robots-txt"),
        "git": pypi("mcp_server_git", "--repository", str(places.repository)),
    }


@pytest.fixture(scope="session")
def url(commands: dict[str, Command], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where each server is, with `{name}` for its name: one proxy, one configuration file."""
    folder = tmp_path_factory.mktemp("proxy")
    memory = {"MEMORY_FILE_PATH": str(folder / "memory.jsonl")}
    config = {
        name: {"command": command, "args": arguments, "env": memory if name == "memory" else {}}
        for name, (command, *arguments) in commands.items()
    }
    (folder / "mcp.json").write_text(json.dumps({"mcpServers": config}))
    with proxy_process(folder / "proxy.log", "--combine", "--config", str(folder / "mcp.json")) as proxy:
        yield f"{proxy.url}/{{name}}/mcp"


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def connect(url: str, mode: str) -> Connect:
    """The SDK's client at one of the servers, in each of its modes."""

    def to(name: str, **callbacks: Any) -> AbstractAsyncContextManager[Client]:
        return Client(url.format(name=name), mode=mode, **callbacks)

    return to


# A client that can do whatever a server may ask.


async def elicit(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
    return ElicitResult(action="accept", content={"name": "Ada"})


async def sample(context: ClientRequestContext, params: CreateMessageRequestParams) -> CreateMessageResult:
    text = params.messages[0].content
    assert isinstance(text, TextContent)
    answer = TextContent(type="text", text=f"sampled: {text.text}")
    return CreateMessageResult(role="assistant", content=answer, model="model-of-the-client")


async def roots(context: ClientRequestContext) -> ListRootsResult:
    return ListRootsResult(roots=[Root(uri=FileUrl("file:///home/ada"), name="home of Ada")])


ABLE: dict[str, Any] = {
    "elicitation_callback": elicit,
    "sampling_callback": sample,
    "list_roots_callback": roots,
}


@pytest.fixture
def able() -> dict[str, Any]:
    return ABLE


# The same servers without any proxy.


class Direct:
    """A server driven over stdio, with nothing but JSON."""

    def __init__(self, command: Command) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    def send(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
        self._process.stdin.flush()

    def ask(self, id_: int, method: str, params: dict[str, Any]) -> dict[str, Any]:
        self.send({"id": id_, "method": method, "params": params})
        assert self._process.stdout is not None
        for line in self._process.stdout:
            message = json.loads(line)
            if message.get("id") == id_ and "method" not in message:
                result: dict[str, Any] = message["result"]
                return result
        raise EOFError

    def close(self) -> None:
        self._process.kill()  # one that asked the client something waits for the answer
        self._process.communicate()


@dataclass(frozen=True)
class Itself:
    """What a server says of itself when nothing stands in between."""

    introduction: dict[str, Any]
    tools: list[dict[str, Any]]


@pytest.fixture(scope="session")
def itself(commands: dict[str, Command]) -> Callable[[str], Itself]:
    known: dict[str, Itself] = {}

    def ask(name: str) -> Itself:
        if name not in known:
            direct = Direct(commands[name])
            info = {"name": "test", "version": "1"}
            params = {"protocolVersion": "2025-11-25", "capabilities": CAPABILITIES, "clientInfo": info}
            introduction = direct.ask(1, "initialize", params)
            direct.send({"method": "notifications/initialized"})
            known[name] = Itself(introduction, direct.ask(2, "tools/list", {})["tools"])
            direct.close()
        return known[name]

    return ask
