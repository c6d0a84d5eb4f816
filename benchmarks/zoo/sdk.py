"""A protected server on the authorization server classes of the Python SDK, its line 1 or 2: `PORT`, or
`PORT unquoted` for one whose challenge has its address without quotation marks, as some servers write it.

The SDK's own examples of this are in no package. Whoever comes to /authorize is let through: the person
of the zoo says yes to everything.
"""

from __future__ import annotations

import secrets
import sys
import time
from importlib import import_module
from typing import Any

from mcp.server.auth.provider import AccessToken, AuthorizationCode, RefreshToken, construct_redirect_uri
from mcp.server.auth.settings import AuthSettings, ClientRegistrationOptions
from mcp.shared.auth import OAuthToken

HOUR = 3600


class Provider:
    """Implements mcp.server.auth.provider.OAuthAuthorizationServerProvider in memory."""

    def __init__(self) -> None:
        self.clients: dict[str, Any] = {}
        self.codes: dict[str, AuthorizationCode] = {}
        self.access: dict[str, AccessToken] = {}
        self.refresh: dict[str, RefreshToken] = {}

    async def get_client(self, client_id: str) -> Any:
        return self.clients.get(client_id)

    async def register_client(self, client_info: Any) -> None:
        self.clients[client_info.client_id] = client_info

    async def authorize(self, client: Any, params: Any) -> str:
        code = AuthorizationCode(
            code=secrets.token_urlsafe(32),
            client_id=client.client_id,
            scopes=params.scopes or ["mcp"],
            expires_at=time.time() + 60,
            code_challenge=params.code_challenge,
            redirect_uri=params.redirect_uri,
            redirect_uri_provided_explicitly=params.redirect_uri_provided_explicitly,
            resource=params.resource,
        )
        self.codes[code.code] = code
        return construct_redirect_uri(str(params.redirect_uri), code=code.code, state=params.state)

    async def load_authorization_code(self, client: Any, authorization_code: str) -> Any:
        return self.codes.get(authorization_code)

    async def exchange_authorization_code(self, client: Any, authorization_code: Any) -> OAuthToken:
        del self.codes[authorization_code.code]
        return self._issue(client, authorization_code.scopes)

    async def load_refresh_token(self, client: Any, refresh_token: str) -> Any:
        return self.refresh.get(refresh_token)

    async def exchange_refresh_token(self, client: Any, refresh_token: Any, scopes: list[str]) -> OAuthToken:
        del self.refresh[refresh_token.token]
        return self._issue(client, scopes)

    async def load_access_token(self, token: str) -> Any:
        return self.access.get(token)

    async def revoke_token(self, token: Any) -> None:
        self.access.pop(token.token, None)
        self.refresh.pop(token.token, None)

    def _issue(self, client: Any, scopes: list[str]) -> OAuthToken:
        access, refresh = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        until = int(time.time()) + HOUR
        self.access[access] = AccessToken(
            token=access, client_id=client.client_id, scopes=scopes, expires_at=until
        )
        self.refresh[refresh] = RefreshToken(token=refresh, client_id=client.client_id, scopes=scopes)
        return OAuthToken(
            access_token=access,
            token_type="Bearer",
            expires_in=HOUR,
            refresh_token=refresh,
            scope=" ".join(scopes),
        )


class Unquoted:
    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def changed(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    (name, value.replace(b'"', b"") if name == b"www-authenticate" else value)
                    for name, value in message["headers"]
                ]
            await send(message)

        await self.app(scope, receive, changed)


def main() -> None:
    port = int(sys.argv[1])
    origin = f"http://localhost:{port}"
    auth = AuthSettings(
        issuer_url=origin,  # type: ignore[arg-type]  # pydantic makes it a URL
        resource_server_url=f"{origin}/mcp",  # type: ignore[arg-type]
        required_scopes=["mcp"],
        client_registration_options=ClientRegistrationOptions(
            enabled=True, valid_scopes=["mcp"], default_scopes=["mcp"]
        ),
    )
    try:
        from mcp.server import MCPServer
    except ImportError:
        line_1: Any = import_module("mcp.server.fastmcp")
        server: Any = line_1.FastMCP("sdk-1", auth_server_provider=Provider(), auth=auth, port=port)
        options: dict[str, Any] = {}
    else:
        server = MCPServer("sdk-2", auth_server_provider=Provider(), auth=auth)  # type: ignore[arg-type]
        options = {"port": port}

    @server.tool()  # type: ignore[untyped-decorator]
    def greet(name: str) -> str:
        return f"Hello, {name}!"

    if sys.argv[2:] == ["unquoted"]:
        import uvicorn

        uvicorn.run(Unquoted(server.streamable_http_app()), port=port, log_level="warning")
    else:
        server.run("streamable-http", **options)


main()
