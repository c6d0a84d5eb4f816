"""The proxies from stdio to Streamable HTTP that are measured, each started the way its README says.

All log warnings at most, keep sessions where they can, and run the server given to them.
"""

from __future__ import annotations

import json
import secrets
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from gateway.node import NODE, installed

from .servers import BIN, ROOT, SCRATCH, free_port, started, virtualenv

PEERS = ROOT / "benchmarks" / "peers"
ECHO = (sys.executable, "-S", "-E", str(PEERS / "echo.py"))
IDLE = ("/bin/sh", str(PEERS / "idle.sh"))
TIME = (str(BIN / "mcp-server-time"),)

OURS = "this"
OURS_MODERN = "this, 2026-07-28 client"
FLOOR = "25-line relay"
CONTEXTFORGE = "mcp-contextforge-gateway translate"

PREDECESSOR_VERSION = "0.2.0"
MCP_PROXY_VERSION = "0.13.0"
FASTMCP_VERSION = "4.1.2"
CONTEXTFORGE_VERSION = "1.0.7.post20260921"
SUPERGATEWAY_VERSION = "4.0.0"
NPM_MCP_PROXY_VERSION = "6.7.19"

Command = Sequence[str | Path]


@dataclass(frozen=True)
class Relay:
    """`command` makes the command line from a port and a server's command."""

    name: str
    version: str
    command: Callable[[int, Sequence[str]], Command]
    path: str = "/mcp"
    environment: Callable[[Sequence[str]], Mapping[str, str]] = lambda server: {}

    @contextmanager
    def serving(self, server: Sequence[str], *options: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
        """Its port and process; `options` are further ones of its own."""
        port = free_port()
        first, *rest = self.command(port, server)
        with (
            tempfile.TemporaryDirectory() as directory,
            started(
                first, *options, *rest,
                port=port, environment=self.environment(server), cwd=Path(directory),
            ) as process,
        ):  # fmt: skip
            yield port, process


def relays() -> list[Relay]:
    """Every relay, ours first; what is missing is installed."""
    return [
        Relay(OURS, version("mcp-streamablehttp-proxy"), _ours),
        Relay(OURS_MODERN, version("mcp-streamablehttp-proxy"), _ours),
        Relay(FLOOR, f"uvicorn {version('uvicorn')}", _floor, environment=_floor_environment),
        Relay("mcp-streamablehttp-proxy", PREDECESSOR_VERSION, _predecessor),
        Relay(CONTEXTFORGE, CONTEXTFORGE_VERSION, _contextforge, environment=_contextforge_environment),
        Relay("mcp-proxy (PyPI)", MCP_PROXY_VERSION, _mcp_proxy),
        Relay("supergateway", SUPERGATEWAY_VERSION, _supergateway),
        Relay("mcp-proxy (npm)", NPM_MCP_PROXY_VERSION, _npm_mcp_proxy),
        Relay("fastmcp proxy", FASTMCP_VERSION, _fastmcp),
    ]


def _ours(port: int, server: Sequence[str]) -> Command:
    program = BIN / "mcp-streamablehttp-proxy"
    return (program, "--port", str(port), "--log-level", "warning", "--max-children", "1000", "--", *server)


def _floor(port: int, _: Sequence[str]) -> Command:
    options = ("--port", str(port), "--no-access-log", "--log-level", "warning", "--app-dir", str(PEERS))
    return (BIN / "uvicorn", "floor:app", *options)


def _floor_environment(server: Sequence[str]) -> Mapping[str, str]:
    return {"COMMAND": shlex.join(server)}


def _predecessor(port: int, server: Sequence[str]) -> Command:
    programs = virtualenv("proxy-0.2.0", f"mcp-streamablehttp-proxy=={PREDECESSOR_VERSION}")
    program = programs / "mcp-streamablehttp-proxy"
    return (program, "--port", str(port), "--log-level", "warning", "--", *server)


def _contextforge(port: int, server: Sequence[str]) -> Command:
    programs = virtualenv("contextforge", f"mcp-contextforge-gateway=={CONTEXTFORGE_VERSION}")
    options = ("--expose-streamable-http", "--jsonResponse", "--logLevel", "warning", "--port", str(port))
    return (programs / "python", "-m", "mcpgateway.translate", "--stdio", shlex.join(server), *options)


def _contextforge_environment(_: Sequence[str]) -> Mapping[str, str]:
    wanted = (
        "JWT_SECRET_KEY", "AUTH_ENCRYPTION_SECRET", "BASIC_AUTH_PASSWORD", "PLATFORM_ADMIN_PASSWORD",
        "DEFAULT_USER_PASSWORD",
    )  # fmt: skip
    return {name: f"{secrets.token_hex(32)}Aa1!" for name in wanted}


def _mcp_proxy(port: int, server: Sequence[str]) -> Command:
    programs = virtualenv("mcp-proxy", f"mcp-proxy=={MCP_PROXY_VERSION}")
    return (programs / "mcp-proxy", "--port", str(port), "--log-level", "WARNING", "--", *server)


def _supergateway(port: int, server: Sequence[str]) -> Command:
    script = installed("supergateway", SUPERGATEWAY_VERSION) / "dist" / "index.js"
    options = ("--outputTransport", "streamableHttp", "--stateful", "--logLevel", "none", "--port", str(port))
    return (NODE, script, "--stdio", shlex.join(server), *options)


def _npm_mcp_proxy(port: int, server: Sequence[str]) -> Command:
    script = installed("mcp-proxy", NPM_MCP_PROXY_VERSION) / "dist" / "bin" / "mcp-proxy.mjs"
    return (NODE, script, "--server", "stream", "--host", "127.0.0.1", "--port", str(port), "--", *server)


def _fastmcp(port: int, server: Sequence[str]) -> Command:
    programs = virtualenv("fastmcp", f"fastmcp=={FASTMCP_VERSION}")
    file = SCRATCH / "fastmcp" / f"{Path(server[-1]).name}.json"
    file.write_text(json.dumps({"mcpServers": {"server": {"command": server[0], "args": [*server[1:]]}}}))
    options = ("--transport", "http", "--port", str(port), "--log-level", "WARNING", "--no-banner")
    return (programs / "fastmcp", "run", file, *options)
