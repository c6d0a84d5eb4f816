"""Serves any stdio MCP server over Streamable HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.3.0"
__all__ = ["MCPSession", "MCPSessionManager", "Server", "Settings", "create_app", "run_server"]

if TYPE_CHECKING:
    from .app import create_app
    from .serve import run_server
    from .session.session import Session as MCPSession
    from .session.sessions import Sessions as MCPSessionManager
    from .settings import Server, Settings

_PLACES = {
    "MCPSession": ("session.session", "Session"),
    "MCPSessionManager": ("session.sessions", "Sessions"),
    "Server": ("settings", "Server"),
    "Settings": ("settings", "Settings"),
    "create_app": ("app", "create_app"),
    "run_server": ("serve", "run_server"),
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module, attribute = _PLACES[name]
    return getattr(import_module(f".{module}", __name__), attribute)
