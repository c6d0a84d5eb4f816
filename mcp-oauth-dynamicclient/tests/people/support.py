"""A gateway that people sign in to, a GitHub look-alike, and somebody with a browser."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import httpx
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse
from mcp_oauth_dynamicclient.app import Gateway
from mcp_oauth_dynamicclient.context import Context
from mcp_oauth_dynamicclient.records import Client
from starlette.types import ASGIApp

PASSWORD = "correct horse battery"
VERIFIER = "v" * 64
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
WEB = "https://client.example/callback"
LOOPBACK = "http://127.0.0.1:7777/callback"


@asynccontextmanager
async def serve(app: ASGIApp, listener: socket.socket) -> AsyncIterator[None]:
    """Serve on a bound loopback socket until the end of the block."""
    config = uvicorn.Config(app, log_level="error", ws="none", lifespan="off", timeout_graceful_shutdown=2)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.01)
        assert not task.done()
    try:
        yield
    finally:
        server.should_exit = True
        await task


def bind() -> tuple[socket.socket, int]:
    listener = socket.create_server(("127.0.0.1", 0))
    return listener, listener.getsockname()[1]


class GitHub:
    """Speaks GitHub's wire format: the web application flow, and the REST calls about the signed-in user."""

    client_id = "Iv1.0123456789abcdef"
    client_secret = "0123456789abcdef0123456789abcdef01234567"
    page_size = 2

    def __init__(self, url: str) -> None:
        self.url = url
        self.user: dict[str, Any] = {"login": "octocat", "id": 583231, "name": "The Octocat", "email": None}
        self.emails = [
            {"email": "old@example.com", "verified": False, "primary": False, "visibility": None},
            {"email": "octocat@example.com", "verified": True, "primary": True, "visibility": "private"},
        ]
        self.orgs: list[str] = []
        self.teams: list[tuple[str, str]] = []
        self.refuses = False
        self.is_down = False
        self.gate: asyncio.Event | None = None
        """Answers wait for it."""
        self.asked: list[dict[str, str]] = []
        """The parameters of each authorization request."""
        self.requests: list[str] = []
        self.tokens: dict[str, str] = {}
        """Live tokens with their scope."""
        self._codes: dict[str, dict[str, str]] = {}
        self.app = FastAPI()
        self._routes(self.app)

    def _routes(self, app: FastAPI) -> None:
        api = "/api/v3"

        @app.middleware("http")
        async def note(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
            self.requests.append(f"{request.method} {request.url.path}")
            if self.gate is not None:
                await self.gate.wait()
            return Response(status_code=502) if self.is_down else await call_next(request)

        @app.get("/login/oauth/authorize")
        async def authorize(request: Request) -> Response:
            query = dict(request.query_params)
            self.asked.append(query)
            answer = {"state": query["state"]}
            if self.refuses:
                answer |= {
                    "error": "access_denied",
                    "error_description": "The user has denied your application access.",
                    "error_uri": "https://docs.github.com/apps/managing-oauth-apps/troubleshooting",
                }
            else:
                answer["code"] = secrets.token_hex(10)
                self._codes[answer["code"]] = query
            return RedirectResponse(f"{query['redirect_uri']}?{urlencode(answer)}", 302)

        @app.post("/login/oauth/access_token")
        async def access_token(request: Request) -> Response:
            given = dict(parse_qsl((await request.body()).decode()))
            answer = self._redeem(given)
            if "application/json" in request.headers.get("accept", ""):
                return JSONResponse(answer)
            return PlainTextResponse(urlencode(answer), media_type="application/x-www-form-urlencoded")

        @app.get(f"{api}/user")
        async def user(request: Request) -> Response:
            return self._for_token(request, None) or JSONResponse(self.user)

        @app.get(f"{api}/user/emails")
        async def emails(request: Request) -> Response:
            return self._for_token(request, "user:email") or JSONResponse(self.emails)

        @app.get(f"{api}/user/orgs")
        async def orgs(request: Request) -> Response:
            entries = [{"login": name, "id": index, "url": "x"} for index, name in enumerate(self.orgs)]
            return self._for_token(request, "read:org") or self._page(request, entries)

        @app.get(f"{api}/user/teams")
        async def teams(request: Request) -> Response:
            entries = [
                {"slug": slug, "name": slug.title(), "organization": {"login": org}}
                for org, slug in self.teams
            ]
            return self._for_token(request, "read:org") or self._page(request, entries)

        @app.delete(f"{api}/applications/{{client_id}}/token")
        async def delete_token(client_id: str, request: Request) -> Response:
            expected = base64.b64encode(f"{self.client_id}:{self.client_secret}".encode()).decode()
            if request.headers.get("authorization") != f"Basic {expected}":
                return JSONResponse({"message": "Not Found", "status": "404"}, 404)
            self.tokens.pop((await request.json())["access_token"], None)
            return Response(status_code=204)

    def _redeem(self, given: dict[str, str]) -> dict[str, str]:
        if (given.get("client_id"), given.get("client_secret")) != (self.client_id, self.client_secret):
            return {
                "error": "incorrect_client_credentials",
                "error_description": "The client_id and/or client_secret passed are incorrect.",
                "error_uri": "https://docs.github.com/",
            }
        asked = self._codes.pop(given.get("code", ""), None)
        digest = hashlib.sha256(given.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if asked is None or challenge != asked.get("code_challenge"):
            return {
                "error": "bad_verification_code",
                "error_description": "The code passed is incorrect or expired.",
                "error_uri": "https://docs.github.com/",
            }
        token = f"gho_{secrets.token_hex(18)}"
        self.tokens[token] = asked["scope"]
        scope = ",".join(asked["scope"].split())
        return {"access_token": token, "scope": scope, "token_type": "bearer"}

    def _for_token(self, request: Request, scope: str | None) -> Response | None:
        """The refusal that this request deserves."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or token not in self.tokens:
            return JSONResponse({"message": "Bad credentials", "status": "401"}, 401)
        if scope and scope not in self.tokens[token].split():
            return JSONResponse({"message": "You need at least read:org scope", "status": "403"}, 403)
        return None

    def _page(self, request: Request, entries: list[dict[str, Any]]) -> Response:
        page = int(request.query_params.get("page", 1))
        chosen = entries[(page - 1) * self.page_size : page * self.page_size]
        headers = {}
        if page * self.page_size < len(entries):
            following = f"{self.url}{request.url.path}?per_page=100&page={page + 1}"
            headers["Link"] = f'<{following}>; rel="next", <{following}>; rel="last"'
        return JSONResponse(chosen, headers=headers)


@dataclass
class Form:
    """A form of a page, with what it would send if nothing were typed."""

    action: str
    values: dict[str, str] = field(default_factory=dict)
    buttons: list[str] = field(default_factory=list)
    """The values of its submit buttons."""


class _Forms(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.links: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(Form(given["action"]))
        elif tag == "input":
            self.forms[-1].values[given["name"]] = given.get("value", "")
        elif tag == "button":
            self.forms[-1].buttons.append(given.get("value", ""))
        elif tag == "a":
            self.links.append(given["href"])


class Visitor:
    """A browser without a screen: keeps cookies, answers forms, follows what leads on."""

    def __init__(self, http: httpx.AsyncClient, issuer: str) -> None:
        self.http = http
        self._issuer = issuer

    async def get(self, url: str) -> httpx.Response:
        return await self.follow(await self.http.get(url))

    async def submit(self, page: httpx.Response, which: int = 0, **given: str) -> httpx.Response:
        form = forms(page)[which]
        return await self.follow(await self.http.post(form.action, data=form.values | given))

    async def approve(self, page: httpx.Response) -> httpx.Response:
        return await self.submit(page, decision="approve")

    async def sign_in(
        self, page: httpx.Response, name: str = "ada", password: str = PASSWORD
    ) -> httpx.Response:
        return await self.submit(page, username=name, password=password)

    async def follow(self, response: httpx.Response) -> httpx.Response:
        """Go where the response sends, as long as that is not back to a client."""
        for _ in range(10):
            target = response.headers.get("location") or refresh(response)
            if target is None or not self._leads_on(target):
                return response
            response = await self.http.get(target)
        raise AssertionError("too many redirects")

    def _leads_on(self, target: str) -> bool:
        return target.startswith((f"{self._issuer}/", "/")) or "/login/oauth/" in target


def forms(page: httpx.Response) -> list[Form]:
    return _Forms(page.text).forms


def links(page: httpx.Response) -> list[str]:
    return _Forms(page.text).links


def refresh(response: httpx.Response) -> str | None:
    header = response.headers.get("refresh")
    return header.partition("url=")[2] if header else None


def goes_on_to(page: httpx.Response) -> str:
    """Where a page goes on to by itself."""
    target = refresh(page)
    assert target is not None, page.text
    return target


def answer(response: httpx.Response) -> dict[str, str]:
    """The parameters that a response sends back to the client, by redirect or by a page that goes on."""
    target = response.headers.get("location") or refresh(response)
    assert target is not None, response.text
    return dict(parse_qsl(urlsplit(target).query, keep_blank_values=True))


class _Routes(httpx.AsyncBaseTransport):
    """The gateway in this process; every other loopback address over the network."""

    def __init__(self, app: ASGIApp, issuer: str) -> None:
        self._gateway = httpx.ASGITransport(app, client=("192.0.2.7", 4711))
        self._network = httpx.AsyncHTTPTransport()
        self._issuer = urlsplit(issuer).netloc

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        ours = request.url.netloc.decode() == self._issuer
        return await (self._gateway if ours else self._network).handle_async_request(request)

    async def aclose(self) -> None:
        await self._network.aclose()


@dataclass
class Place:
    """A running gateway with a registered client."""

    app: Gateway
    ctx: Context
    issuer: str
    client: Client
    _stack: AsyncExitStack

    @property
    def time(self) -> str:
        domain = self.ctx.settings.base_domain
        return f"{self.ctx.settings.scheme}://time.{domain}/mcp" if domain else f"{self.issuer}/time/mcp"

    async def visitor(self) -> Visitor:
        """Somebody with a browser that has never been here."""

        async def say_origin(request: httpx.Request) -> None:
            if request.method == "POST":
                request.headers.setdefault("Origin", self.issuer)

        http = httpx.AsyncClient(
            transport=_Routes(self.app, self.issuer),
            base_url=self.issuer,
            event_hooks={"request": [say_origin]},
        )
        return Visitor(await self._stack.enter_async_context(http), self.issuer)

    async def register(self, *redirect_uris: str, name: str = "Test client", **metadata: Any) -> Client:
        registration = await self.ctx.clients.register(
            {
                "client_name": name,
                "redirect_uris": list(redirect_uris),
                "token_endpoint_auth_method": "none",
                "grant_types": ["authorization_code", "refresh_token"],
                **metadata,
            },
        )
        return registration.client

    async def preregister(self, *redirect_uris: str, name: str = "House client") -> Client:
        """One that the operator knows, which is told of a wrong request without a person's click."""
        metadata = {
            "client_name": name,
            "redirect_uris": list(redirect_uris),
            "token_endpoint_auth_method": "none",
        }
        return (await self.ctx.clients.preregister(metadata)).client

    def url(self, client: Client | None = None, /, **changes: str | None) -> str:
        """An authorization request; None leaves a parameter out."""
        client = client or self.client
        parameters: dict[str, str | None] = {
            "response_type": "code",
            "client_id": client.client_id,
            "redirect_uri": client.redirect_uris[0],
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            "state": "the client's state",
            "resource": self.time,
        }
        given = {name: value for name, value in (parameters | changes).items() if value is not None}
        return f"/authorize?{urlencode(given)}"

    async def redeem(
        self, code: str, client: Client | None = None, redirect_uri: str | None = None
    ) -> httpx.Response:
        client = client or self.client
        visitor = await self.visitor()
        return await visitor.http.post(
            "/token",
            data={
                "grant_type": "authorization_code",
                "code": code,
                "client_id": client.client_id,
                "redirect_uri": redirect_uri or client.redirect_uris[0],
                "code_verifier": VERIFIER,
            },
        )

    async def refresh(self, refresh_token: str) -> httpx.Response:
        visitor = await self.visitor()
        return await visitor.http.post(
            "/token",
            data={
                "grant_type": "refresh_token",
                "refresh_token": refresh_token,
                "client_id": self.client.client_id,
            },
        )

    async def verify(self, token: str) -> int:
        """The status a request with this token gets at the time server's door."""
        visitor = await self.visitor()
        response = await visitor.http.get(
            "/verify",
            headers={
                "Authorization": f"Bearer {token}",
                "X-Forwarded-Host": urlsplit(self.issuer).netloc,
                "X-Forwarded-Uri": "/time/mcp",
                "X-Forwarded-Method": "POST",
            },
        )
        return response.status_code

    def events(self, event: str) -> list[dict[str, Any]]:
        lines = Path(self.ctx.settings.audit_log).read_text().splitlines()
        return [entry for line in lines if (entry := json.loads(line))["event"] == event]


def query(url: str) -> dict[str, list[str]]:
    return parse_qs(urlsplit(url).query)


class Web:
    forms = staticmethod(forms)
    links = staticmethod(links)
    refresh = staticmethod(goes_on_to)
    answer = staticmethod(answer)
    query = staticmethod(query)
    serve = staticmethod(serve)
    bind = staticmethod(bind)
    WEB = WEB
    LOOPBACK = LOOPBACK
    PASSWORD = PASSWORD
    CHALLENGE = CHALLENGE


OpenPlace = Callable[..., Awaitable[Place]]
"""Opens a gateway with these settings."""
