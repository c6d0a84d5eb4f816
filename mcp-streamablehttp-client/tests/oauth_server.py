"""An authorization server on loopback, and the MCP server it protects."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlencode

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .support import Json


@dataclass
class OAuth:
    """A protected MCP server and its authorization server, with knobs for attacks."""

    origin: str
    lifetime: int = 3600
    scopes: str = "mcp"
    sends_iss: bool = True
    iss: str | None = None
    metadata: Json = field(default_factory=dict)
    resource_metadata: Json = field(default_factory=dict)
    redirect_extra: dict[str, str] = field(default_factory=dict)
    drop_parameters: tuple[str, ...] = ()
    challenge_extra: str = ""
    tool_scope: str | None = None
    refresh_delay: float = 0
    fault: Callable[[str, str], ASGIApp | None] = lambda method, path: None
    """What something on the way answers instead, by method and path."""
    seen: list[tuple[str, Json]] = field(default_factory=list)
    clients: dict[str, Json] = field(default_factory=dict)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    access: dict[str, Json] = field(default_factory=dict)
    refresh: dict[str, Json] = field(default_factory=dict)
    secrets: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{self.origin}/mcp"

    def count(self, what: str) -> int:
        return sum(1 for name, _ in self.seen if name == what)

    def last(self, what: str) -> Json:
        return [values for name, values in self.seen if name == what][-1]

    def mint(self, grant: Json) -> Json:
        access, refresh = f"at-{secrets.token_urlsafe(20)}", f"rt-{secrets.token_urlsafe(20)}"
        self.secrets += [access, refresh]
        self.access[access] = {**grant, "expires": time.time() + self.lifetime}
        self.refresh[refresh] = {**grant, "spent": False}
        return {
            "access_token": access,
            "refresh_token": refresh,
            "token_type": "Bearer",
            "expires_in": self.lifetime,
            "scope": grant["scope"],
        }

    def revoke_family(self, family: str) -> None:
        for tokens in (self.access, self.refresh):
            for value in [value for value, grant in tokens.items() if grant["family"] == family]:
                del tokens[value]


def _oauth_app(oauth: OAuth) -> FastAPI:
    app = FastAPI()

    @app.get("/.well-known/oauth-protected-resource/mcp")
    def protected_resource() -> Json:
        document = {
            "resource": oauth.url,
            "authorization_servers": [oauth.origin],
            "scopes_supported": oauth.scopes.split(),
        }
        return document | oauth.resource_metadata

    @app.get("/.well-known/oauth-authorization-server")
    def metadata() -> Json:
        document = {
            "issuer": oauth.origin,
            "authorization_endpoint": f"{oauth.origin}/authorize",
            "token_endpoint": f"{oauth.origin}/token",
            "registration_endpoint": f"{oauth.origin}/register",
            "revocation_endpoint": f"{oauth.origin}/revoke",
            "response_types_supported": ["code"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["none", "client_secret_post"],
            "authorization_response_iss_parameter_supported": oauth.sends_iss,
        }
        return document | oauth.metadata

    @app.post("/register")
    async def register(request: Request) -> JSONResponse:
        body = await request.json()
        oauth.seen.append(("register", body))
        client_id = f"client-{len(oauth.clients) + 1}"
        oauth.clients[client_id] = body
        return JSONResponse({**body, "client_id": client_id}, 201)

    @app.get("/authorize")
    def authorize(request: Request) -> Response:
        """The person says yes at once."""
        query = dict(request.query_params)
        oauth.seen.append(("authorize", query))
        client = oauth.clients.get(query.get("client_id", ""))
        if client is None or query.get("redirect_uri") not in client["redirect_uris"]:
            return Response("unknown client or redirect", 400)
        if query.get("code_challenge_method") != "S256" or query.get("resource") != oauth.url:
            return Response("no PKCE or resource", 400)
        code = f"code-{secrets.token_urlsafe(20)}"
        oauth.secrets.append(code)
        oauth.codes[code] = query
        answer = {"code": code, "state": query["state"]}
        if oauth.sends_iss:
            answer["iss"] = oauth.origin
        if oauth.iss is not None:
            answer["iss"] = oauth.iss
        answer |= oauth.redirect_extra
        kept = {name: value for name, value in answer.items() if name not in oauth.drop_parameters}
        return RedirectResponse(f"{query['redirect_uri']}?{urlencode(kept)}", 302)

    @app.post("/token")
    async def token(request: Request) -> JSONResponse:
        form = {name: str(value) for name, value in (await request.form()).items()}
        oauth.seen.append(("token", form))
        if form.get("client_id") not in oauth.clients:
            return JSONResponse({"error": "invalid_client"}, 401)
        if form.get("resource") != oauth.url:
            return JSONResponse({"error": "invalid_target"}, 400)
        if form["grant_type"] == "authorization_code":
            code = oauth.codes.pop(form["code"], None)
            digest = hashlib.sha256(form["code_verifier"].encode()).digest()
            challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
            if (
                code is None
                or code["client_id"] != form["client_id"]
                or code["redirect_uri"] != form["redirect_uri"]
                or code["code_challenge"] != challenge
            ):
                return JSONResponse({"error": "invalid_grant"}, 400)
            grant = {"family": secrets.token_hex(4), "scope": code.get("scope", "")}
            return JSONResponse(oauth.mint(grant))
        await asyncio.sleep(oauth.refresh_delay)
        known = oauth.refresh.get(form["refresh_token"])
        if known is None:
            return JSONResponse({"error": "invalid_grant"}, 400)
        if known["spent"]:
            oauth.revoke_family(known["family"])
            return JSONResponse({"error": "invalid_grant", "error_description": "reuse"}, 400)
        known["spent"] = True
        return JSONResponse(oauth.mint({"family": known["family"], "scope": known["scope"]}))

    @app.post("/revoke")
    async def revoke(request: Request) -> Response:
        form = await request.form()
        oauth.seen.append(("revoke", {}))
        value = str(form["token"])
        known = oauth.refresh.get(value) or oauth.access.get(value)
        if known is not None:
            oauth.revoke_family(known["family"])
        return Response()

    return app


class Gate:
    """Asks for a token before the MCP server, and leaves everything else to the OAuth app."""

    def __init__(self, oauth: OAuth, mcp: ASGIApp) -> None:
        self.oauth, self.mcp, self.other = oauth, mcp, _oauth_app(oauth)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.mcp(scope, receive, send)
        elif (instead := self.oauth.fault(scope["method"], scope["path"])) is not None:
            await instead(scope, receive, send)
        elif scope["path"] != "/mcp":
            await self.other(scope, receive, send)
        else:
            await self.gated(scope, receive, send)

    async def gated(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        grant = self.oauth.access.get(headers.get("authorization", "").removeprefix("Bearer "))
        if grant is None or grant["expires"] <= time.time():
            await self.refuse(401, f'scope="{self.oauth.scopes}"', scope, receive, send)
            return
        if (needed := self.oauth.tool_scope) and needed not in grant["scope"].split():
            body = b""
            while True:
                message = await receive()
                body += message.get("body", b"")
                if not message.get("more_body"):
                    break
            if body and json.loads(body).get("method") == "tools/call":
                challenge = f'error="insufficient_scope", scope="{needed}"'
                await self.refuse(403, challenge, scope, receive, send)
                return
            parts = [{"type": "http.request", "body": body, "more_body": False}]

            async def again() -> Message:
                return parts.pop() if parts else await receive()

            await self.mcp(scope, again, send)
            return
        await self.mcp(scope, receive, send)

    async def refuse(self, status: int, extra: str, scope: Scope, receive: Receive, send: Send) -> None:
        where = f"{self.oauth.origin}/.well-known/oauth-protected-resource/mcp"
        value = self.oauth.challenge_extra or f'resource_metadata="{where}"'
        response = Response(status_code=status, headers={"WWW-Authenticate": f"Bearer {value}, {extra}"})
        await response(scope, receive, send)
