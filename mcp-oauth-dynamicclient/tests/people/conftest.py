"""What every test about people has: an open gateway, a browser, a GitHub look-alike."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from mcp_oauth_dynamicclient.app import create_app
from mcp_oauth_dynamicclient.login import local
from mcp_oauth_dynamicclient.records import Client
from mcp_oauth_dynamicclient.settings import Settings
from mcp_oauth_dynamicclient.store import Store

from ..support import Clock
from .support import PASSWORD, WEB, GitHub, OpenPlace, Place, Visitor, Web, bind, serve


@pytest.fixture
async def github() -> AsyncIterator[GitHub]:
    listener, port = bind()
    github = GitHub(f"http://127.0.0.1:{port}")
    async with serve(github.app, listener):
        yield github


@pytest.fixture
def github_settings(github: GitHub) -> dict[str, object]:
    return {
        "local_accounts": False,
        "github_base_url": github.url,
        "github_client_id": github.client_id,
        "github_client_secret": github.client_secret,
        "allowed_github_users": "octocat",
    }


@pytest.fixture
async def open_place(
    make_settings: Callable[..., Settings], store: Store, clock: Clock, tmp_path: Path
) -> AsyncIterator[OpenPlace]:
    """Open a gateway with these settings, in this process; the account `ada` exists."""
    async with AsyncExitStack() as stack:

        async def open_place(**settings: object) -> Place:
            given = make_settings(**({"audit_log": str(tmp_path / "audit.log")} | settings))
            app = create_app(given, store=store, now=clock)
            stack.push_async_callback(app.aclose)
            place = Place(
                app, app.ctx, given.issuer, Client(client_id="", metadata={}, source="dynamic"), stack
            )
            place.client = await place.register(WEB)
            if await local.find(app.ctx.store, "ada") is None:
                await local.add_account(app.ctx.store, "ada", PASSWORD, now=clock())
            return place

        yield open_place


@pytest.fixture
async def place(open_place: OpenPlace) -> Place:
    return await open_place()


@pytest.fixture
async def visitor(place: Place) -> Visitor:
    return await place.visitor()


@pytest.fixture
async def github_place(open_place: OpenPlace, github_settings: dict[str, object]) -> Place:
    return await open_place(**github_settings)


@pytest.fixture
def web() -> type[Web]:
    """The helpers above, for test modules, which cannot import this file."""
    return Web
