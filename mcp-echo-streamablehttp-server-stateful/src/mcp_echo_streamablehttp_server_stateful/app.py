"""The composition root: the stateless server's app, with sessions."""

from fastapi import FastAPI
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp_echo_streamablehttp_server_stateless.app import INSTRUCTIONS, MAX_BODY, assemble
from mcp_echo_streamablehttp_server_stateless.toolbox import Toolbox

from .memory import Memory
from .ownership import SessionOwner
from .settings import Settings
from .tools import StatefulTools
from .version import __version__

NAME = "mcp-echo-streamablehttp-server-stateful"


def create_app(settings: Settings | None = None) -> FastAPI:
    """Sessions in the handshake era, memory per signed-in user in the stateless era.

    Raises SettingsError when the environment holds a value that cannot be used.
    """
    settings = settings or Settings.load()
    memory = Memory(settings.session_timeout, settings.max_sessions)
    server = Toolbox(StatefulTools(memory).all(), settings).server(NAME, __version__, INSTRUCTIONS)
    manager = StreamableHTTPSessionManager(
        server,
        json_response=True,
        session_idle_timeout=settings.session_timeout,
        max_sessions=settings.max_sessions,
        max_request_body_size=MAX_BODY,
    )
    return assemble(server, manager, SessionOwner(manager.asgi_app, settings.trust_identity), settings)
