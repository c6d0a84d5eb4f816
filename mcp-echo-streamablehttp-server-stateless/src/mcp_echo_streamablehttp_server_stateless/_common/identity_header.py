"""What the gateway and its servers agree on about identity statements."""

from __future__ import annotations

HEADER = "X-Gateway-Identity"
ALGORITHM = "ES256"
TYPE = "mcp-identity+jwt"
LIFETIME = 300
"""Seconds that a statement lives at most."""
MAX_SIZE = 2048
"""Octets that a server takes; the gateway makes them smaller than 1024 wherever names allow it."""
REVOKED = "gateway_revoked"
"""In the state of a request's ASGI scope: a future that is done once its statement holds no longer."""
