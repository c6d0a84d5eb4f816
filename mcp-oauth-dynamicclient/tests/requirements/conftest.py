"""Gateways with everything switched on, and a web that is not the real one."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from mcp_oauth_dynamicclient.clients import documents
from mcp_oauth_dynamicclient.clients.fetch import Fetcher
from mcp_oauth_dynamicclient.login import local

from ..answering import Answering
from ..support import Clock, MakeApp
from .support import IDENTITY_PROVIDER, PASSWORD, Key, Person, Serve, Served


@pytest.fixture
async def serve(make_app: MakeApp, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Serve]:
    web: dict[str, Any] = {}
    fetched: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        url = f"https://{request.headers['host']}{request.url.path}"
        fetched.append(url)
        found = web.get(url)
        content = json.dumps(found).encode()
        headers = {"content-type": "application/json"}
        status = 404 if found is None else 200
        return httpx.Response(status, headers=headers, stream=httpx.ByteStream(content))

    async def resolve(host: str, port: int) -> list[str]:
        return ["93.184.216.34"]

    fetcher = Fetcher(resolve=resolve, connector=Answering(answer))
    monkeypatch.setattr(documents, "Fetcher", lambda: fetcher)
    visitors: list[httpx.AsyncClient] = []

    async def make(**settings: Any) -> Served:
        app = await make_app(**({"id_jag_issuer": IDENTITY_PROVIDER} | settings))

        async def get(url: str) -> httpx.Response:
            found = web.get(url)
            return httpx.Response(
                404 if found is None else 200, json=found, request=httpx.Request("GET", url)
            )

        monkeypatch.setattr(app.ctx.http, "get", get)
        await app.ctx.store.delete("account", "ada")
        await local.add_account(app.ctx.store, "ada", PASSWORD, now=clock())
        issuer = app.ctx.settings.issuer
        visitor = httpx.AsyncClient(transport=httpx.ASGITransport(app.gateway), base_url=issuer)
        visitors.append(visitor)
        metadata = (await app.http.get(f"{issuer}/.well-known/oauth-authorization-server")).json()
        return Served(app, metadata, Person(visitor, issuer), clock, web, fetched)

    yield make
    for visitor in visitors:
        await visitor.aclose()


@pytest.fixture
async def served(serve: Serve) -> Served:
    return await serve()


@pytest.fixture
def key() -> Callable[[str], Key]:
    """A key of a test's own for an algorithm."""
    return Key
