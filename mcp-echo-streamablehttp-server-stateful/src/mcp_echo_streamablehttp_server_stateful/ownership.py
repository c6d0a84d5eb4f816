"""Binds each session to the user who opened it; to anyone else it does not exist."""

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp_echo_streamablehttp_server_stateless.identity import Identity
from starlette.types import ASGIApp, Receive, Scope, Send


class SessionOwner:
    """Hands the gateway's X-User-Id to the SDK's session manager, which answers 404 to any other user.

    The user alone counts, not the client: registering again must not lose a session.
    """

    def __init__(self, app: ASGIApp, trust_identity: bool) -> None:
        self.app = app
        self.trust_identity = trust_identity

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.trust_identity:
            user = Identity.from_headers(scope["headers"]).user_id
            if user is not None:
                token = AccessToken(token="", client_id="", scopes=[], subject=user)
                scope = {**scope, "user": AuthenticatedUser(token)}
        await self.app(scope, receive, send)
