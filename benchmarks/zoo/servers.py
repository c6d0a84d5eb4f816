"""The zoo: what is in it, and how each is started."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import httpx

from gateway.node import NODE, installed

from ..servers import free_port, running, virtualenv
from .own_gateway import approve, local_run

HERE = Path(__file__).parent
EVERYTHING_VERSION = "2026.8.31"
TYPESCRIPT_VERSION = "1.32.2"
FASTMCP_2, FASTMCP_4, SDK_1 = "2.14.7", "4.1.2", "1.30.0"
GREETING = ("greet", {"name": "zoo"}, "Hello, zoo!")
ECHO = ("echo", {"message": "zoo"}, "zoo")

TIME = ("get_current_time", {"timezone": "Europe/Berlin"}, "Europe/Berlin")

Command = Sequence[str | Path]


def _let_through(address: str) -> None:
    with suppress(httpx.HTTPError):  # the callback may close early; the bridge says what came of it
        httpx.get(address, follow_redirects=True, timeout=20, trust_env=False)


@dataclass(frozen=True)
class Started:
    """`visit` is what its person does with the address of a sign-in."""

    url: str
    visit: Callable[[str], None] = _let_through


@dataclass(frozen=True)
class Server:
    """`command(port)` starts it; `tool` is a call it answers, its arguments and words of the answer."""

    name: str
    version: str
    command: Callable[[int], Command]
    path: str = "/mcp"
    tool: tuple[str, Mapping[str, str], str] = GREETING
    environment: Callable[[int], Mapping[str, str]] = field(default=lambda port: {})
    signs_in: bool = False
    remote_options: tuple[str, ...] = ()
    """What mcp-remote has to be told to have a chance; ours is told nothing."""
    host: Literal["handshake", "modern"] = "handshake"
    """What the host speaks that uses it."""

    @contextmanager
    def started(self) -> Iterator[Started]:
        """Until the end of the block."""
        port = free_port()
        with running(*self.command(port), port=port, environment=self.environment(port)):
            yield Started(f"http://localhost:{port}{self.path}")


class OwnGateway(Server):
    """The whole gateway as `./justw run` starts it, with an unmodified stdio server behind it."""

    @contextmanager
    def started(self) -> Iterator[Started]:
        with local_run() as (origin, password):
            yield Started(f"{origin}{self.path}", lambda address: approve(address, password))


def _everything(transport: str) -> Callable[[int], Command]:
    def command(port: int) -> Command:
        package = installed("@modelcontextprotocol/server-everything", EVERYTHING_VERSION)
        return (NODE, package / "dist" / "index.js", transport)

    return command


def _port(port: int) -> Mapping[str, str]:
    return {"PORT": str(port)}


def _typescript(port: int) -> Command:
    package = installed("@modelcontextprotocol/sdk", TYPESCRIPT_VERSION, "express@5.1.0")
    return (NODE, package / "dist/esm/examples/server/simpleStreamableHttp.js", "--oauth")


def _two_ports(port: int) -> Mapping[str, str]:
    return {"MCP_PORT": str(port), "MCP_AUTH_PORT": str(free_port())}


def _fastmcp(which: str, kind: str) -> Callable[[int], Command]:
    def command(port: int) -> Command:
        python = virtualenv(f"fastmcp-{which}", f"fastmcp=={which}") / "python"
        return (python, HERE / "fastmcp_server.py", str(port), kind)

    return command


def _sdk_1(port: int) -> Command:
    return (virtualenv(f"mcp-{SDK_1}", f"mcp=={SDK_1}") / "python", HERE / "sdk.py", str(port))


def _here(name: str, *options: str) -> Callable[[int], Command]:
    return lambda port: (sys.executable, HERE / name, str(port), *options)


def _nothing(port: int) -> Command:
    return ()


SERVERS = (
    Server(
        "server-everything", EVERYTHING_VERSION, _everything("streamableHttp"), tool=ECHO, environment=_port
    ),
    Server("server-everything, SSE", EVERYTHING_VERSION, _everything("sse"), "/sse", ECHO, _port),
    Server("TypeScript SDK, OAuth", TYPESCRIPT_VERSION, _typescript, environment=_two_ports, signs_in=True),
    Server("FastMCP 2, OAuth", FASTMCP_2, _fastmcp(FASTMCP_2, "oauth"), signs_in=True),
    Server("FastMCP 4, OAuth", FASTMCP_4, _fastmcp(FASTMCP_4, "oauth"), signs_in=True),
    Server("FastMCP 4, SSE", FASTMCP_4, _fastmcp(FASTMCP_4, "sse"), "/sse"),
    Server("Python SDK 1, OAuth", SDK_1, _sdk_1, signs_in=True),
    Server("Python SDK 2, OAuth", version("mcp"), _here("sdk.py"), signs_in=True),
    Server(
        "speaks 2026-07-28 only",
        version("mcp"),
        _here("modern_only.py"),
        remote_options=("--protocol", "auto"),
    ),
    Server("resource_metadata unquoted", version("mcp"), _here("sdk.py", "unquoted"), signs_in=True),
    Server(
        "server-everything, host of 2026-07-28",
        EVERYTHING_VERSION,
        _everything("streamableHttp"),
        tool=ECHO,
        environment=_port,
        remote_options=("--protocol", "auto"),
        host="modern",
    ),
    Server(
        "FastMCP 2 without sessions, host of 2026-07-28",
        FASTMCP_2,
        _fastmcp(FASTMCP_2, "stateless"),
        remote_options=("--protocol", "auto"),
        host="modern",
    ),
    Server(
        "Python SDK 1, OAuth, host of 2026-07-28",
        SDK_1,
        _sdk_1,
        signs_in=True,
        remote_options=("--protocol", "auto"),
        host="modern",
    ),
    OwnGateway(
        "this gateway, mcp-server-time behind it",
        version("mcp-server-time"),
        _nothing,
        "/time/mcp",
        TIME,
        signs_in=True,
    ),
)
