from .app import create_app
from .settings import Settings, SettingsError
from .version import __version__

__all__ = ["Settings", "SettingsError", "__version__", "create_app"]
