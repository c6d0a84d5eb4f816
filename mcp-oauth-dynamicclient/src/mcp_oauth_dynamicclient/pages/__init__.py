"""Every page a person sees: one stylesheet, no script, every value escaped."""

from .rendering import error_page, render, server_page
from .static import routes

__all__ = ["error_page", "render", "routes", "server_page"]
