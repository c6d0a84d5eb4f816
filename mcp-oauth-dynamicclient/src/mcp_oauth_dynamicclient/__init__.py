"""OAuth 2.1 authorization server and ForwardAuth endpoint for MCP servers.

from mcp_oauth_dynamicclient import Settings, create_app
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .app import create_app
    from .settings import Settings

__all__ = ["Settings", "__version__", "create_app"]
__version__ = "0.3.0"


def __getattr__(name: str) -> Any:
    """Read on first use: commands such as `--help` need none of the server."""
    if name == "create_app":
        from .app import create_app

        return create_app
    if name == "Settings":
        from .settings import Settings

        return Settings
    raise AttributeError(name)
