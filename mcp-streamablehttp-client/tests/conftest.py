"""Real servers on loopback: an MCP server of the SDK, scripted ones, and an authorization server."""

import asyncio
import base64
import hashlib
import json
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

Asgi = Callable[[Any, Any, Any], Awaitable[None]]
COMMAND = [sys.executable, "-m", "mcp_streamablehttp_client"]


@contextmanager
def _running(make: Callable[[str], Asgi]) -> Iterator[str]:
    """Serve what `make(origin)` returns in a thread; yields the origin."""
    listener = socket.create_server(("127.0.0.1", 0))
    origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
    config = uvicorn.Config(make(origin), log_level="critical", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield origin
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()


@pytest.fixture
def serve() -> Iterator[Callable[[Asgi], str]]:
    """serve(app) -> origin"""
    with ExitStack() as stack:
        yield lambda app: stack.enter_context(_running(lambda _: app))


@pytest.fixture
def serve_with_origin() -> Iterator[Callable[[Callable[[str], Asgi]], str]]:
    """serve_with_origin(make_app) -> origin, which make_app was given"""
    with ExitStack() as stack:
        yield lambda make: stack.enter_context(_running(make))


def _sdk_server() -> Asgi:
    from mcp.server import MCPServer
    from mcp.server.mcpserver import Context
    from pydantic import BaseModel

    server = MCPServer("fixture")

    class Name(BaseModel):
        name: str

    @server.tool()
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    @server.tool()
    def fail() -> str:
        raise ValueError("it went wrong")

    @server.tool()
    async def wait(seconds: float) -> str:
        await asyncio.sleep(seconds)
        return f"waited {seconds}"

    @server.tool()
    async def greet(ctx: Context[Any, Any]) -> str:
        """Asks the host's user for a name, telling about progress meanwhile."""
        await ctx.report_progress(1, 2)
        answer = await ctx.elicit("Who?", Name)
        return f"Hello {getattr(answer, 'data', None) and answer.data.name}"  # type: ignore[union-attr]

    return server.streamable_http_app()


@pytest.fixture(scope="session")
def sdk_url() -> Iterator[str]:
    """The URL of an open MCP server of the SDK (both eras)."""
    with _running(lambda _: _sdk_server()) as origin:
        yield f"{origin}/mcp"


@dataclass
class OAuth:
    """A protected MCP server and its authorization server, with knobs for attacks."""

    origin: str
    lifetime: int = 3600
    scopes: str = "mcp"
    sends_iss: bool = True
    iss: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    resource_metadata: dict[str, Any] = field(default_factory=dict)
    redirect_extra: dict[str, str] = field(default_factory=dict)
    drop_parameters: tuple[str, ...] = ()
    challenge_extra: str = ""
    tool_scope: str | None = None
    refresh_delay: float = 0
    seen: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    clients: dict[str, dict[str, Any]] = field(default_factory=dict)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    access: dict[str, dict[str, Any]] = field(default_factory=dict)
    refresh: dict[str, dict[str, Any]] = field(default_factory=dict)
    secrets: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{self.origin}/mcp"

    def count(self, what: str) -> int:
        return sum(1 for name, _ in self.seen if name == what)

    def last(self, what: str) -> dict[str, str]:
        return [values for name, values in self.seen if name == what][-1]

    def mint(self, grant: dict[str, Any]) -> dict[str, Any]:
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
    def protected_resource() -> dict[str, Any]:
        document = {
            "resource": oauth.url,
            "authorization_servers": [oauth.origin],
            "scopes_supported": oauth.scopes.split(),
        }
        return document | oauth.resource_metadata

    @app.get("/.well-known/oauth-authorization-server")
    def metadata() -> dict[str, Any]:
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


class _Gate:
    """Asks for a token before the MCP server, and leaves everything else to the OAuth app."""

    def __init__(self, oauth: OAuth, mcp: Asgi) -> None:
        self.oauth, self.mcp, self.other = oauth, mcp, _oauth_app(oauth)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self.mcp(scope, receive, send)
        elif scope["path"] != "/mcp":
            await self.other(scope, receive, send)
        else:
            await self.gated(scope, receive, send)

    async def gated(self, scope: Any, receive: Any, send: Any) -> None:
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

            async def again() -> Any:
                return parts.pop() if parts else await receive()

            await self.mcp(scope, again, send)
            return
        await self.mcp(scope, receive, send)

    async def refuse(self, status: int, extra: str, scope: Any, receive: Any, send: Any) -> None:
        where = f"{self.oauth.origin}/.well-known/oauth-protected-resource/mcp"
        value = self.oauth.challenge_extra or f'resource_metadata="{where}"'
        response = Response(status_code=status, headers={"WWW-Authenticate": f"Bearer {value}, {extra}"})
        await response(scope, receive, send)


@pytest.fixture
def oauth() -> Iterator[OAuth]:
    holder: list[OAuth] = []

    def make(origin: str) -> Asgi:
        holder.append(OAuth(origin))
        return _Gate(holder[0], _sdk_server())

    with _running(make):
        yield holder[0]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A person with an empty store and a browser that follows redirects at once; it also writes
    to stdout, as browsers do."""
    browser = tmp_path / "browser.py"
    browser.write_text(
        "import sys, urllib.request, pathlib\n"
        "print('browser chatter')\n"
        f"log = open({str(tmp_path / 'browsed')!r}, 'a'); log.write(sys.argv[1] + chr(10)); log.close()\n"
        "try: urllib.request.urlopen(sys.argv[1], timeout=10).read()\n"
        "except OSError: pass\n"
        f"open({str(tmp_path / 'returned')!r}, 'w').close()\n"
    )
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return kept | {
        "BROWSER": f"{sys.executable} {browser} %s",
        "CREDENTIAL_STORAGE_PATH": str(tmp_path / "credentials"),
    }


@dataclass
class Finished:
    status: int
    stdout: str
    stderr: str


@pytest.fixture
def run(environment: dict[str, str]) -> Callable[..., Awaitable[Finished]]:
    """await run("tools", url): one command, as a person types it."""

    async def start(*words: str, env: dict[str, str] | None = None, stdin: bytes = b"") -> Finished:
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            *words,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment | (env or {}),
        )
        try:
            out, err = await asyncio.wait_for(process.communicate(stdin), 30)
        except TimeoutError:
            process.kill()
            raise
        assert "Traceback" not in err.decode()
        return Finished(process.returncode or 0, out.decode(), err.decode())

    return start


class Host:
    """A stdio host that speaks raw lines."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[bytes] = []
        self._errors = asyncio.create_task(process.stderr.read())  # type: ignore[union-attr]
        self._closed = False

    def send(self, message: Any) -> None:
        line = message if isinstance(message, bytes) else json.dumps(message).encode()
        self.process.stdin.write(line + b"\n")  # type: ignore[union-attr]

    def request(self, identifier: Any, method: str, params: Any = None, **extra: Any) -> None:
        self.send({"jsonrpc": "2.0", "id": identifier, "method": method, "params": params or {}, **extra})

    async def line(self) -> bytes:
        line: bytes = await asyncio.wait_for(self.process.stdout.readline(), 30)  # type: ignore[union-attr]
        assert line, "the bridge ended"
        self.lines.append(line)
        return line

    async def message(self) -> Any:
        return json.loads(await self.line())

    async def answer(self, identifier: Any) -> Any:
        while (message := await self.message()).get("id") != identifier or "method" in message:
            pass
        return message

    async def handshake(self, version: str = "2025-11-25", **capabilities: Any) -> Any:
        client = {"name": "host", "version": "1"}
        self.request(
            "init",
            "initialize",
            {"protocolVersion": version, "capabilities": capabilities, "clientInfo": client},
        )
        answer = await self.answer("init")
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return answer

    async def close(self) -> tuple[int, str]:
        """Exit status and what was written to stderr; stdout held nothing but JSON-RPC."""
        if not self._closed:
            self._closed = True
            self.process.stdin.close()  # type: ignore[union-attr]
            rest = await asyncio.wait_for(self.process.stdout.read(), 15)  # type: ignore[union-attr]
            await asyncio.wait_for(self.process.wait(), 15)
            for line in [*self.lines, *rest.splitlines()]:
                assert json.loads(line)["jsonrpc"] == "2.0"
        errors = (await self._errors).decode()
        assert "Traceback" not in errors
        return self.process.returncode or 0, errors


@pytest.fixture
async def bridge(environment: dict[str, str]) -> AsyncIterator[Callable[..., Awaitable[Host]]]:
    """host = await bridge(url, *options)"""
    hosts: list[Host] = []

    async def start(url: str, *options: str, env: dict[str, str] | None = None) -> Host:
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            url,
            *options,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment | (env or {}),
            limit=1 << 27,
        )
        hosts.append(Host(process))
        return hosts[-1]

    yield start
    for host in hosts:
        if host.process.returncode is None and not host._closed:
            host.process.terminate()
        await host.close()
