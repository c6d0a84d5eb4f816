"""Web-fetch MCP server over Streamable HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._common.settings import SettingsError
    from .app import create_app
    from .settings import Settings

__version__ = "0.3.0"
__all__ = ["Settings", "SettingsError", "__version__", "create_app"]


def __getattr__(name: str) -> Any:
    """The server is imported when it is asked for: the processes that read pages are of this package too, and
    would take a second longer to start."""
    if name == "create_app":
        from .app import create_app

        return create_app
    if name == "SettingsError":
        from ._common.settings import SettingsError

        return SettingsError
    if name == "Settings":
        from .settings import Settings

        return Settings
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
