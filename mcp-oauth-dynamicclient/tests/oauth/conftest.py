"""A gateway's OAuth endpoints over a real store, and an internet of documents that is not the real one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from mcp_oauth_dynamicclient.audit import Audit
from mcp_oauth_dynamicclient.clients import ClientRegistry
from mcp_oauth_dynamicclient.clients.documents import Documents
from mcp_oauth_dynamicclient.context import Context
from mcp_oauth_dynamicclient.endpoints import device_authorization, introspect, register, revoke, token
from mcp_oauth_dynamicclient.errors import OAuth2Error
from mcp_oauth_dynamicclient.keys import KeyRing, StatementKeyRing
from mcp_oauth_dynamicclient.login import Standings
from mcp_oauth_dynamicclient.outages import Outages
from mcp_oauth_dynamicclient.policy import Policy
from mcp_oauth_dynamicclient.records import Account
from mcp_oauth_dynamicclient.resources import Resources
from mcp_oauth_dynamicclient.servers import ListedServers
from mcp_oauth_dynamicclient.settings import Settings
from mcp_oauth_dynamicclient.statements import Statements
from mcp_oauth_dynamicclient.store import Store
from mcp_oauth_dynamicclient.tables import Tables
from mcp_oauth_dynamicclient.tokens import Tokens

from ..support import Clock
from .support import Gateway, Internet, MakeGateway, MakeSigner, Signer


def render(_: Request, error: Exception) -> Response:
    assert isinstance(error, OAuth2Error)
    return JSONResponse(dict(error.get_body()), error.status_code, dict(error.get_headers()))


@pytest.fixture
def internet() -> Internet:
    return Internet()


@pytest.fixture
def signer() -> MakeSigner:
    return Signer


@pytest.fixture
async def make_gateway(
    make_settings: Callable[..., Settings],
    store: Store,
    clock: Clock,
    internet: Internet,
    tmp_path: Path,
) -> AsyncIterator[MakeGateway]:
    """Gateways over the test's store; a second one is another replica."""
    async with AsyncExitStack() as stack:

        async def make(*, over: Store = store, **overrides: Any) -> Gateway:
            settings = make_settings(**overrides)
            upstream: dict[str, Any] = {}

            def provider(request: httpx.Request) -> httpx.Response:
                found = upstream.get(str(request.url))
                return httpx.Response(404) if found is None else httpx.Response(200, json=found)

            keys = KeyRing(settings, over, clock)
            documents = Documents(settings, over, now=clock, fetcher=internet.fetcher())
            audit_path = tmp_path / "audit.log"
            audit = Audit(str(audit_path), now=clock)
            stack.callback(audit.close)
            http = await stack.enter_async_context(httpx.AsyncClient(transport=httpx.MockTransport(provider)))
            ctx = Context(
                settings=settings,
                store=over,
                tables=Tables(over),
                resources=Resources(settings),
                servers=ListedServers(()),
                keys=keys,
                tokens=Tokens(settings, keys, clock),
                statements=Statements(settings, StatementKeyRing(settings, over, clock), clock),
                standings=Standings(settings, over, {}, clock),
                policy=Policy(settings, over),
                clients=ClientRegistry(settings, over, now=clock, documents=documents),
                audit=audit,
                outages=Outages(clock),
                http=http,
                now=clock,
            )
            account = Account(name="ada", password_hash="x", created_at=clock())
            await over.put("account", "ada", account.model_dump())
            app = FastAPI()
            app.add_exception_handler(OAuth2Error, render)
            for module in (token, revoke, introspect, register, device_authorization):
                app.include_router(module.routes(ctx))
            transport = httpx.ASGITransport(app, client=("192.0.2.7", 4711))
            client = httpx.AsyncClient(transport=transport, base_url="http://localhost:8080")
            return Gateway(ctx, await stack.enter_async_context(client), internet, audit_path, upstream)

        yield make


@pytest.fixture
async def gateway(make_gateway: MakeGateway) -> Gateway:
    return await make_gateway()
