"""`GET /`: which servers there are and how they are. Nothing is started for who looks, and no reason is given
that may hold a server's own words: those are in the log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from html import escape
from typing import Literal

from . import __version__
from .endpoint import Endpoint
from .servers import Servers

State = Literal["running", "ready", "unavailable", "broken"]

_MEANING: Mapping[State, str] = {
    "running": "in use",
    "ready": "is started when it is needed",
    "unavailable": "cannot be started at the moment; the log says why",
    "broken": "cannot be served as it is written in the file; the log says why",
}
_STYLE = (
    "body{font:1rem/1.5 system-ui;max-width:52rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.3rem .8rem .3rem 0;"
    "border-bottom:1px solid #ccc;vertical-align:top}"
)


@dataclass(frozen=True, slots=True)
class Shown:
    """One line of the overview."""

    name: str
    state: State
    path: str | None
    """Of its endpoint; None if it has none."""
    title: str | None = None
    """What it calls itself, and its version, once it has been introduced."""
    version: str | None = None
    processes: int = 0
    sessions: int = 0


def shown(hub: Servers) -> list[Shown]:
    """The combination first, then the servers by name."""
    troubles = hub.troubles()
    lines = [] if hub.combined is None else [_line(hub.combined, "/mcp", processes=0)]
    for name, endpoint in sorted(hub.endpoints.items()):
        path = "/mcp" if name == hub.root else f"/{name}/mcp"
        lines.append(_line(endpoint, path, endpoint.pool.children, broken=name in troubles))
    gone = [name for name in troubles if name not in hub.endpoints]
    return [*lines, *(Shown(name, "broken", None) for name in sorted(gone))]


def _line(endpoint: Endpoint, path: str, processes: int, *, broken: bool = False) -> Shown:
    said = endpoint.pool.self_description
    sessions = len(endpoint.handshake.sessions)
    state: State = "unavailable" if broken else "running" if processes or sessions else "ready"
    title, version = said.get("title") or said.get("name"), said.get("version")
    return Shown(
        endpoint.server.name,
        state,
        path,
        title if isinstance(title, str) else None,
        version if isinstance(version, str) else None,
        processes,
        sessions,
    )


def as_json(hub: Servers) -> dict[str, object]:
    return {"version": __version__, "servers": [asdict(line) for line in shown(hub)]}


def as_page(hub: Servers, base: str) -> str:
    """The overview for people; `base` is what comes before the paths."""
    rows = "".join(_row(line, base) for line in shown(hub))
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>MCP servers</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
        "<h1>MCP servers</h1><p>Paste an address into a client as a connector of type HTTP."
        "<table><tr><th>Server<th>Address<th>State<th>Processes<th>Sessions"
        f"{rows}</table><p>mcp-streamablehttp-proxy {escape(__version__)}"
    )


def _row(line: Shown, base: str) -> str:
    said = " ".join(filter(None, (line.title, line.version)))
    about = f"<br><small>{escape(said)}</small>" if said else ""
    address = f"<code>{escape(base + line.path)}</code>" if line.path else ""
    return (
        f"<tr><td>{escape(line.name)}{about}<td>{address}<td>{line.state}: {_MEANING[line.state]}"
        f"<td>{line.processes}<td>{line.sessions}"
    )
