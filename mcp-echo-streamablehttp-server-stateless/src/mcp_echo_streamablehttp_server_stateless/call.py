"""One tool call as the tools see it: the HTTP request that carried it and what is known about its sender."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mcp.server import ServerRequestContext
from mcp.server.session import ServerSession
from mcp.shared.exceptions import MCPDeprecationWarning
from mcp_types import LoggingLevel, RequestId
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from .identity import Identity
from .settings import Settings

if TYPE_CHECKING:
    from ._common.identity_statement import Statement


@dataclass(frozen=True)
class Arrival:
    """When the request reached this process (seconds since the epoch, and on the monotonic clock), and its
    headers before anything here touched them."""

    headers: tuple[tuple[bytes, bytes], ...] = ()
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
    session: ServerSession
    request_id: RequestId | None = None

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

    @property
    def statement(self) -> Statement | None:
        """The gateway's signed word on this request, verified, where this server requires one."""
        found: Statement | None = self.request.scope["state"].get("gateway_statement")
        return found

    async def log(self, level: LoggingLevel, text: str) -> None:
        """A log message to the client, on the stream of this call."""
        with warnings.catch_warnings():
            # Deprecated in 2026-07-28, where a request asks for it; clients of before have it yet.
            warnings.simplefilter("ignore", MCPDeprecationWarning)
            sent = self.session.send_log_message(level, text, related_request_id=self.request_id)
        await sent

    @classmethod
    def of(cls, context: ServerRequestContext[Any, Any], settings: Settings) -> Call:
        request = context.request
        if not isinstance(request, Request):
            raise TypeError("tool calls come over HTTP")
        client = context.session.client_params
        arrival: Arrival = request.scope["state"]["arrival"]
        return cls(
            request=Request({**request.scope, "headers": arrival.headers}),
            settings=settings,
            protocol_version=context.protocol_version,
            arrival=arrival,
            claimed=Identity.from_headers(arrival.headers),
            session_id=request.scope["state"].get("session_id"),
            session=context.session,
            request_id=context.request_id,
            client=f"{client.client_info.name} {client.client_info.version}" if client else None,
        )


class Stamp:
    """Notes the arrival of each request."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope.setdefault("state", {})["arrival"] = Arrival(tuple(scope["headers"]))
        await self.app(scope, receive, send)
