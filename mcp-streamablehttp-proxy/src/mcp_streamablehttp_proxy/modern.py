"""The stateless era (2026-07-28)."""

from __future__ import annotations

from typing import Final

from .child import Child, ChildError
from .http import Refused, Request
from .metrics import ServerMetrics
from .pool import Pool
from .settings import HANDSHAKE_VERSIONS, Server, Settings

UNSUPPORTED_VERSION: Final = -32022


class ModernEra:
    def __init__(self, server: Server, settings: Settings, pool: Pool, metrics: ServerMetrics) -> None:
        self._server = server
        self._settings = settings
        self._pool = pool
        self._metrics = metrics

    async def handle(self, request: Request) -> None:
        """Answer one POST. Raises Refused, MessageError, ChildError, Unavailable."""
        requested = request.headers.get(b"mcp-protocol-version", b"").decode("latin-1")
        raise Refused(
            400,
            UNSUPPORTED_VERSION,
            f"protocol version {requested or '2026-07-28'} is not supported",
            data={"supported": list(HANDSHAKE_VERSIONS), "requested": requested},
        )

    def close(self) -> None:
        """Let go of everything at shutdown."""


async def open_modern(child: Child) -> None:
    """Make a joint child ready for this era. Raises ChildError."""
    raise ChildError(f"server {child.server.name} cannot be used in the stateless era")
