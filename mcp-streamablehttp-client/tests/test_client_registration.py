"""`client show|update|delete`: RFC 7592 with what the registration gave."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mcp_streamablehttp_client.credentials.records import Client, Server, Tokens
from mcp_streamablehttp_client.credentials.store import Store
from mcp_streamablehttp_client.oauth.discovery import AuthorizationServer
from mcp_streamablehttp_client.oauth.registration import register
from mcp_streamablehttp_client.oauth.web import Web
from mcp_streamablehttp_client.settings import Settings
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .support import Json, Run, ServeWithOrigin


class Registry:
    """An authorization server's registration and management endpoints, for one client."""

    def __init__(self) -> None:
        self.origin = ""
        self.tokens = 0
        self.document: Json | None = None
        self.put: list[Json] = []

    def app(self, origin: str) -> Starlette:
        self.origin = origin
        routes = [
            Route("/register", self.register, methods=["POST"]),
            Route("/register/c1", self.manage, methods=["GET", "PUT", "DELETE"]),
        ]
        return Starlette(routes=routes)

    def answer(self, status: int = 200) -> JSONResponse:
        """With a new management token each time (RFC 7592 section 3)."""
        self.tokens += 1
        managed = {
            "registration_client_uri": f"{self.origin}/register/c1",
            "registration_access_token": f"m{self.tokens}",
        }
        return JSONResponse({**(self.document or {}), **managed}, status)

    async def register(self, request: Request) -> Response:
        self.document = {**await request.json(), "client_id": "c1"}
        return self.answer(201)

    async def manage(self, request: Request) -> Response:
        if self.document is None or request.headers.get("authorization") != f"Bearer m{self.tokens}":
            return JSONResponse({"error": "invalid_token"}, 401)
        if request.method == "DELETE":
            self.document = None
            return Response(status_code=204)
        if request.method == "PUT":
            body = await request.json()
            self.put.append(body)
            self.document = body
        return self.answer()


@pytest.fixture
async def registry(serve_with_origin: ServeWithOrigin, environment: dict[str, str]) -> Registry:
    found = Registry()
    origin = serve_with_origin(found.app)
    url = f"{origin}/mcp"
    server = AuthorizationServer(
        issuer=origin,
        authorization_endpoint=f"{origin}/authorize",
        token_endpoint=f"{origin}/token",
        registration_endpoint=f"{origin}/register",
        revocation_endpoint=None,
        device_authorization_endpoint=None,
        scopes=(),
        auth_methods=("none",),
        sends_iss=True,
        accepts_metadata_documents=False,
    )
    client = await register(Web(Settings(url)), server, "http://127.0.0.1:1/callback", None)
    store = Store(Path(environment["CREDENTIAL_STORAGE_PATH"]))
    store.save_client(client)
    store.save_server(Server(url, url, origin))
    store.save_tokens(Tokens(origin, url, f"{origin}/token", "c1", "at"))
    return found


def kept(registry: Registry, environment: dict[str, str]) -> Client | None:
    return Store(Path(environment["CREDENTIAL_STORAGE_PATH"])).client(registry.origin)


async def test_show_prints_no_secret_and_keeps_the_new_token(
    registry: Registry, run: Run, environment: dict[str, str]
) -> None:
    finished = await run("client", "show", f"{registry.origin}/mcp")
    assert finished.status == 0, finished
    document = json.loads(finished.stdout)
    assert document["client_id"] == "c1"
    assert document["registration_access_token"] == "…"
    client = kept(registry, environment)
    assert client is not None
    assert client.management_token == f"m{registry.tokens}"


async def test_update_sends_the_whole_and_nothing_it_must_not(registry: Registry, run: Run) -> None:
    words = ("client_name=Ada's laptop", 'contacts:=["a@example.com"]')
    finished = await run("client", "update", f"{registry.origin}/mcp", *words)
    assert finished.status == 0, finished
    assert "client_name" in finished.stdout
    (body,) = registry.put
    assert body["client_name"] == "Ada's laptop"
    assert body["contacts"] == ["a@example.com"]
    assert body["client_id"] == "c1"
    assert body["redirect_uris"] == ["http://127.0.0.1:1/callback"]
    assert not {"registration_access_token", "registration_client_uri"} & set(body)


async def test_delete_is_done_there_and_here(
    registry: Registry, run: Run, environment: dict[str, str]
) -> None:
    url = f"{registry.origin}/mcp"
    assert (await run("client", "delete", url)).status == 0
    assert registry.document is None
    assert kept(registry, environment) is None
    assert (await run("status", url)).status == 1
    finished = await run("client", "show", url)
    assert finished.status == 1
    assert "made when signing in" in finished.stderr
