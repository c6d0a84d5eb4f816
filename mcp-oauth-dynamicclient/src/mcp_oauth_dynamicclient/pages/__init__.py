"""Every page a person sees: one stylesheet, a script for copy buttons at most, every value escaped."""

from __future__ import annotations

from .errors import Refusal, no_cookie, not_found, not_opened, refuse, refuse_error
from .rendering import cut, moment, render, server_page
from .route import page_router
from .static import routes

__all__ = [
    "Refusal",
    "cut",
    "moment",
    "no_cookie",
    "not_found",
    "not_opened",
    "page_router",
    "refuse",
    "refuse_error",
    "render",
    "routes",
    "server_page",
]
