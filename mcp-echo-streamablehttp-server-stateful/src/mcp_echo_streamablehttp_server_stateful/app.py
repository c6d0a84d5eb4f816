"""The composition root: the stateless server's app, with sessions."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from fastapi import FastAPI
from mcp.server import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp_echo_streamablehttp_server_stateless._common.negotiated import Negotiated
from mcp_echo_streamablehttp_server_stateless._common.replica_forwarding import Forwarder
from mcp_echo_streamablehttp_server_stateless._common.replica_set import ReplicaSet, replica_settings
from mcp_echo_streamablehttp_server_stateless._common.replicas import Replicas, speaks_modern
from mcp_echo_streamablehttp_server_stateless._common.settings import SettingsError
from mcp_echo_streamablehttp_server_stateless.app import INSTRUCTIONS, MAX_BODY, UnreadyError, assemble
from mcp_echo_streamablehttp_server_stateless.identity import Identity
from mcp_echo_streamablehttp_server_stateless.toolbox import Toolbox
from starlette.types import Scope

from . import __version__
from .events import Events
from .memory import Memory
from .sessions import Sessions
from .settings import Settings
from .store import MEMORY, StateUnavailableError, Store, connect
from .tools import StatefulTools

NAME = "mcp-echo-streamablehttp-server-stateful"
TITLE = "Echo with memory"
PUT_AWAY = 600
"""Idle seconds after which a session leaves this process; its record stays for MCP_SESSION_TIMEOUT."""


def create_app(settings: Settings | None = None) -> FastAPI:
    """Sessions in the handshake era, memory per signed-in user or handle in the stateless era.

    Raises SettingsError when the environment holds a value that cannot be used.
    """
    settings = settings or Settings.load()
    try:
        file = settings.echo_state_password_file
        password = file.read_text().strip() if file else None
        store = connect(settings.echo_state_url, settings.session_timeout, password=password)
    except (StateUnavailableError, ValueError, OSError) as error:
        raise SettingsError(f"MCP_ECHO_STATE_URL cannot be used: {error}") from error
    if settings.conformance:
        from . import conformance

        return with_sessions(Toolbox([], settings), conformance.whole(), store, settings)
    toolbox = Toolbox(StatefulTools(Memory(store, settings)).all(), settings)
    server = toolbox.server(NAME, TITLE, __version__, INSTRUCTIONS)
    return with_sessions(toolbox, server, store, settings)


def with_sessions(toolbox: Toolbox, server: Server[Any], store: Store, settings: Settings) -> FastAPI:
    """Any server of the SDK's behind sessions that outlive the process."""
    log = Events(store)
    manager = StreamableHTTPSessionManager(
        server,
        event_store=log,
        retry_interval=1000,
        session_idle_timeout=min(PUT_AWAY, settings.session_timeout),
        max_sessions=None,
        max_request_body_size=MAX_BODY,
    )
    sessions = Sessions(
        Negotiated(manager.asgi_app),
        store,
        trust_identity=settings.trust_identity,
        idle=settings.session_timeout,
        per_user=settings.sessions_per_user,
        limit=settings.max_sessions,
        max_body=MAX_BODY,
    )

    sessions.count_in(toolbox.meters.registry)
    forwarder = Forwarder()

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        async with manager.run(), sessions.kept():
            yield
        await forwarder.aclose()
        await store.aclose()

    async def ready() -> None:
        try:
            await store.check()
        except StateUnavailableError as error:
            raise UnreadyError("the state cannot be written to") from error

    app = assemble(toolbox, server, lifespan, sessions, settings, ready)
    among = replica_settings(
        settings.replicas,
        settings.replica_address,
        os.environ.get("MCP_REPLICA_SECRET"),
        settings.replica_secret_file,
        settings.port,
    )
    if among is not None and settings.echo_state_url == MEMORY:  # elsewhere every replica has all sessions
        app.add_middleware(
            Replicas, ReplicaSet(among), partial(whose, settings), MAX_BODY, forwarder=forwarder
        )
    return app


def whose(settings: Settings, scope: Scope) -> str | None:
    """Whom memory belongs to that is no session's; what belongs to nobody known is all at one replica."""
    if not speaks_modern(scope):
        return None
    return (Identity.from_headers(scope["headers"]).user_id or "") if settings.trust_identity else ""
