"""A public https address for a local run, from a tunnel's own program.

Each is started as its documentation says and tells its address in its own words.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass

from . import local_settings
from .services import Service


@dataclass(frozen=True)
class Tunnel:
    name: str
    arguments: tuple[str, ...]
    """`{port}` is the edge's."""
    address: Callable[[str], str | None]
    """The public address that a line of its output tells, or None."""
    install: str
    """Where it comes from."""
    lasting: bool
    """Whether the address is the same the next time, so that clients stay connected."""


def _cloudflared(line: str) -> str | None:
    found = re.search(r"https://(?!api\.)[a-z0-9-]+\.trycloudflare\.com", line)
    return found[0] if found else None


def _ngrok(line: str) -> str | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    told = isinstance(entry, dict) and entry.get("msg") == "started tunnel"
    url = str(entry.get("url", "")) if told else ""
    return url if url.startswith("https://") else None


def _tailscale(line: str) -> str | None:
    found = re.match(r"\s*(https://[a-z0-9.-]+\.ts\.net)/?\s*$", line)
    return found[1] if found else None


TUNNELS = {
    tunnel.name: tunnel
    for tunnel in (
        Tunnel(
            "cloudflared",
            ("tunnel", "--no-autoupdate", "--url", "http://127.0.0.1:{port}"),
            _cloudflared,
            "https://developers.cloudflare.com/cloudflare-one/connections/connect-networks/downloads/",
            lasting=False,
        ),
        Tunnel(
            "ngrok",
            ("http", "127.0.0.1:{port}", "--log", "stdout", "--log-format", "json"),
            _ngrok,
            "https://ngrok.com/download",
            lasting=False,
        ),
        Tunnel(
            "tailscale",
            ("funnel", "{port}"),
            _tailscale,
            "https://tailscale.com/download",
            lasting=True,
        ),
    )
}


class TunnelError(Exception):
    """There is no such tunnel; the message is one line that says what to do."""


def service(tunnel: Tunnel, port: int, environment: dict[str, str]) -> Service:
    """Raises TunnelError where its program is not installed."""
    program = shutil.which(tunnel.name, path=environment.get("PATH"))
    if program is None:
        raise TunnelError(f"{tunnel.name} is not installed: {tunnel.install}")
    arguments = tuple(argument.format(port=port) for argument in tunnel.arguments)
    passed = local_settings.of_own_servers(environment)
    return Service("tunnel", (program, *arguments), port, passed, served=False)
