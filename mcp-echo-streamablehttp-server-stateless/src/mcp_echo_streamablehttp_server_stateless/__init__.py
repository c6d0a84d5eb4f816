"""A diagnostic MCP server over Streamable HTTP, without state."""

from __future__ import annotations

__version__ = "0.3.0"

from ._common.settings import SettingsError
from .app import create_app
from .settings import Settings

__all__ = ["Settings", "SettingsError", "__version__", "create_app"]
