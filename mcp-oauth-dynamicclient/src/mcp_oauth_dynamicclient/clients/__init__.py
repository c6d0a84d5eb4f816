"""Clients: registration, management, metadata documents, authentication."""

from .registry import ClientRegistry, Registration

__all__ = ["ClientRegistry", "Registration"]
