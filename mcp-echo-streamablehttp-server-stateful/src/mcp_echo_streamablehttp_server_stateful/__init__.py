"""The diagnostic MCP server with sessions and state."""

from __future__ import annotations

__version__ = "0.3.0"

from .app import create_app
from .settings import Settings

__all__ = ["Settings", "__version__", "create_app"]
