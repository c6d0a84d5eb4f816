"""Clients: registration, management, metadata documents, authentication."""

from __future__ import annotations

from .registry import ClientRegistry, Registration

__all__ = ["ClientRegistry", "Registration"]
