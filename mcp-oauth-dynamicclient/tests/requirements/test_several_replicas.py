"""Several replicas on one Redis, and a Redis that dies under load."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from mcp_oauth_dynamicclient.grants import grant as grants
from mcp_oauth_dynamicclient.grants import refresh_token
from mcp_oauth_dynamicclient.login import local
from mcp_oauth_dynamicclient.records import Grant
from mcp_oauth_dynamicclient.store.redis import RedisStore

from ..support import App, Clock, MakeApp, RedisServer

SERVER = "http://localhost:8080/time/mcp"
PATIENCE = 120
"""Seconds after which something that should have happened is called missing."""


@pytest.fixture
async def store(redis_server: RedisServer, clock: Clock) -> AsyncIterator[RedisStore]:
    """In place of SQLite, for every application of these tests."""
    store = RedisStore(redis_server.url, now=clock)
    yield store
    await store.close()


@dataclass
class Connection:
    """A client with a person's grant on one gateway, as another replica may serve it too."""

    registered: dict[str, Any]
    grant: Grant
    access: str
    refresh: str

    @property
    def client_id(self) -> str:
        return str(self.registered["client_id"])


async def connect(app: App) -> Connection:
    metadata = {
        "redirect_uris": ["https://client.example/cb"],
        "token_endpoint_auth_method": "none",
        "grant_types": ["authorization_code", "refresh_token"],
    }
    registered = (await app.http.post("/register", json=metadata)).json()
    grant = await app.grant(resource=SERVER, client_id=registered["client_id"])
    return Connection(registered, grant, await app.token(grant), await refresh_token.issue(app.ctx, grant))


async def renew(app: App, connection: Connection) -> Any:
    form = {
        "grant_type": "refresh_token",
        "client_id": connection.client_id,
        "refresh_token": connection.refresh,
    }
    return await app.http.post("/token", data=form)


async def revoke_refresh_token(app: App, connection: Connection) -> None:
    form = {"client_id": connection.client_id, "token": connection.refresh}
    assert (await app.http.post("/revoke", data=form)).status_code == 200


async def revoke_access_token(app: App, connection: Connection) -> None:
    form = {"client_id": connection.client_id, "token": connection.access}
    assert (await app.http.post("/revoke", data=form)).status_code == 200


async def delete_client(app: App, connection: Connection) -> None:
    headers = {"Authorization": f"Bearer {connection.registered['registration_access_token']}"}
    assert (await app.http.delete(f"/register/{connection.client_id}", headers=headers)).status_code == 204


async def revoke_on_the_account_page(app: App, connection: Connection) -> None:
    await grants.revoke(app.ctx, connection.grant.grant_id, "revoked by the person")


async def remove_account(app: App, connection: Connection) -> None:
    await local.remove_account(app.ctx.store, "ada")


@pytest.mark.parametrize(
    "end",
    [revoke_refresh_token, revoke_access_token, delete_client, revoke_on_the_account_page, remove_account],
)
async def test_what_ends_on_one_replica_is_refused_by_the_others_within_a_second(
    make_app: MakeApp,
    monkeypatch: pytest.MonkeyPatch,
    end: Callable[[Any, Connection], Awaitable[None]],
) -> None:
    time = 1000.0
    monkeypatch.setattr("mcp_oauth_dynamicclient.store.recent.time.monotonic", lambda: time)
    one, two, three = [await make_app() for _ in range(3)]
    connection, bystander = await connect(one), await connect(two)
    for app in (one, two, three):
        assert (await app.forward(SERVER, connection.access)).status_code == 200
    await end(two, connection)
    assert (await two.forward(SERVER, connection.access)).status_code == 401
    time += 0.99
    for app in (one, three):
        assert (await app.forward(SERVER, connection.access)).status_code == 401
        if end is not remove_account:
            assert (await app.forward(SERVER, bystander.access)).status_code == 200


async def test_a_token_of_any_replica_opens_its_server_on_every_replica_after_a_key_rotation(
    make_app: MakeApp,
) -> None:
    one, two = await make_app(), await make_app()
    before = await connect(one)
    assert (await two.forward(SERVER, before.access)).status_code == 200
    await two.ctx.keys.rotate()
    after = await connect(two)
    for connection in (before, after):
        for app in (one, two):
            assert (await app.forward(SERVER, connection.access)).status_code == 200


@dataclass
class Load:
    """Clients that use and renew their tokens without a pause, and some that must never get in."""

    apps: list[Any]
    connections: list[Connection]
    barred: list[str]
    good: Counter[int] = field(default_factory=Counter)
    renewed: Counter[int] = field(default_factory=Counter)
    bad: Counter[int] = field(default_factory=Counter)
    ends: bool = False

    async def run(self) -> None:
        users = [self._use(number, connection) for number, connection in enumerate(self.connections)]
        await asyncio.gather(*users, self._intrude())

    async def _use(self, number: int, connection: Connection) -> None:
        while not self.ends:
            app = self.apps[number % len(self.apps)]
            self.good[(await app.forward(SERVER, connection.access)).status_code] += 1
            answer = await renew(app, connection)
            self.renewed[answer.status_code] += 1
            if answer.status_code == 200:
                connection.access = answer.json()["access_token"]
                connection.refresh = answer.json()["refresh_token"]
            await asyncio.sleep(0.01)

    async def _intrude(self) -> None:
        while not self.ends:
            for app in self.apps:
                for token in self.barred:
                    self.bad[(await app.forward(SERVER, token)).status_code] += 1
            await asyncio.sleep(0.01)

    async def see_more(self, of: Counter[int], status: int, count: int = 1) -> None:
        """Wait until so many more answers of this status have come."""
        enough = of[status] + count
        async with asyncio.timeout(PATIENCE):
            while of[status] < enough:
                await asyncio.sleep(0.01)


async def test_redis_killed_and_restarted_under_load_loses_no_token_and_admits_nobody_wrongly(
    make_app: MakeApp, redis_server: RedisServer
) -> None:
    apps = [await make_app(), await make_app()]
    connections = [await connect(apps[number % 2]) for number in range(6)]
    ended = await connect(apps[0])
    await revoke_refresh_token(apps[0], ended)
    elsewhere = await apps[0].token(resource="http://localhost:8080/echo/mcp")
    load = Load(apps, connections, [ended.access, elsewhere, "nonsense"])
    running = asyncio.create_task(load.run())
    try:
        for _ in range(2):
            await load.see_more(load.renewed, 200, 30)
            await load.see_more(load.bad, 401)
            redis_server.kill()
            await load.see_more(load.renewed, 503)
            await load.see_more(load.good, 503)
            await asyncio.to_thread(redis_server.start)
    finally:
        load.ends = True
        await running
    assert set(load.good) == {200, 503}
    assert set(load.renewed) == {200, 503}
    assert set(load.bad) <= {401, 503}
    for connection in connections:
        for app in apps:
            assert (await app.forward(SERVER, connection.access)).status_code == 200
        assert (await renew(apps[0], connection)).status_code == 200
