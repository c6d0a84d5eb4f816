"""Every page a person sees: one stylesheet, no script, every value escaped."""

from .rendering import error_page, render, server_page
from .route import error_as_page, page_router
from .static import routes

__all__ = ["error_as_page", "error_page", "page_router", "render", "routes", "server_page"]
