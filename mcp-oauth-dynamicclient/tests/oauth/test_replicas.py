"""Two replicas on one Redis behave as one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from mcp_oauth_dynamicclient.store.redis import RedisStore

from ..support import Clock, RedisServer
from .support import MakeGateway


@pytest.fixture
async def replicas(
    make_gateway: MakeGateway, redis_server: RedisServer, clock: Clock
) -> AsyncIterator[list[Any]]:
    stores = [RedisStore(redis_server.url, now=clock) for _ in range(2)]
    yield [await make_gateway(over=store) for store in stores]
    for store in stores:
        await store.close()


async def test_twenty_raced_refreshes_yield_one_family(replicas: list[Any]) -> None:
    client_id = (await replicas[0].register())["client_id"]
    first = await replicas[1].connect(client_id)
    raced = [replicas[number % 2].refresh(client_id, first["refresh_token"]) for number in range(20)]
    answers = await asyncio.gather(*raced)
    assert [answer.status_code for answer in answers] == [200] * 20
    grants = [entry.value async for entry in replicas[0].ctx.store.list("grant")]
    assert [grant["generation"] for grant in grants] == [1]
    for answer in answers[:3]:
        assert (await replicas[0].refresh(client_id, answer.json()["refresh_token"])).status_code == 200


async def test_a_code_is_taken_once(replicas: list[Any]) -> None:
    client_id = (await replicas[0].register())["client_id"]
    code, verifier = await replicas[0].approve(client_id)
    answers = await asyncio.gather(*(replicas[n % 2].redeem(client_id, code, verifier) for n in range(10)))
    won = [answer.json() for answer in answers if answer.status_code == 200]
    assert len(won) <= 1
    for tokens in won:
        assert not await replicas[1].is_live(tokens["access_token"])


async def test_what_one_replica_revokes_is_revoked_on_the_other(replicas: list[Any]) -> None:
    client = await replicas[0].register()
    tokens = await replicas[0].connect(client["client_id"])
    assert await replicas[1].is_live(tokens["access_token"])
    headers = {"authorization": f"Bearer {client['registration_access_token']}"}
    deleted = await replicas[1].http.delete(f"/register/{client['client_id']}", headers=headers)
    assert deleted.status_code == 204
    assert not await replicas[0].is_live(tokens["access_token"])
    refused = await replicas[0].refresh(client["client_id"], tokens["refresh_token"])
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")


async def test_a_store_that_is_away_is_a_503_and_loses_nothing(
    replicas: list[Any], redis_server: RedisServer
) -> None:
    gateway = replicas[0]
    client_id = (await gateway.register())["client_id"]
    tokens = await gateway.connect(client_id)
    redis_server.kill()
    try:
        refreshed = await gateway.refresh(client_id, tokens["refresh_token"])
        registered = await gateway.http.post(
            "/register", json={"redirect_uris": ["https://client.example/cb"]}
        )
    finally:
        redis_server.start()
    for away in (refreshed, registered):
        assert (away.status_code, away.json()["error"]) == (503, "temporarily_unavailable")
    assert (await gateway.refresh(client_id, tokens["refresh_token"])).status_code == 200
