"""One tool call as the tools see it: the HTTP request that carried it and what is known about its sender."""

import time
from dataclasses import dataclass, field
from typing import Any

from mcp.server import ServerRequestContext
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from .identity import Identity
from .settings import Settings


@dataclass(frozen=True)
class Arrival:
    """When the request reached this process: seconds since the epoch, and on the monotonic clock."""

    at: float = field(default_factory=time.time)
    tick: float = field(default_factory=time.perf_counter)


@dataclass(frozen=True)
class Call:
    request: Request
    settings: Settings
    protocol_version: str
    arrival: Arrival
    claimed: Identity
    session_id: str | None
    client: str | None

    @property
    def identity(self) -> Identity:
        """The signed-in user, or an empty identity when the headers are not to be believed."""
        return self.claimed if self.settings.trust_identity else Identity()

    @property
    def handshake(self) -> bool:
        return self.protocol_version in HANDSHAKE_PROTOCOL_VERSIONS

    def header(self, name: str) -> str | None:
        return self.request.headers.get(name)

    @property
    def bearer(self) -> str | None:
        scheme, _, token = (self.header("authorization") or "").strip().partition(" ")
        return token.strip() or None if scheme.lower() == "bearer" else None

    @classmethod
    def of(cls, context: ServerRequestContext[Any, Any], settings: Settings) -> "Call":
        request = context.request
        if not isinstance(request, Request):
            raise TypeError("tool calls come over HTTP")
        client = context.session.client_params
        return cls(
            request=request,
            settings=settings,
            protocol_version=context.protocol_version,
            arrival=request.scope["state"]["arrival"],
            claimed=Identity.from_headers(request.scope["headers"]),
            session_id=request.headers.get("mcp-session-id"),
            client=f"{client.client_info.name} {client.client_info.version}" if client else None,
        )


class Stamp:
    """Notes the arrival of each request."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope.setdefault("state", {})["arrival"] = Arrival()
        await self.app(scope, receive, send)
