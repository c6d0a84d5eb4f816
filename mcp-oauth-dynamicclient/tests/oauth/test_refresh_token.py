"""Refresh tokens: rotation, reuse detection, and grace for an answer that was lost (guarantee 3)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

TIME = "http://localhost:8080/time/mcp"
ECHO = "http://localhost:8080/echo/mcp"


async def tokens_of(response: Any) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def test_a_refresh_token_is_replaced_at_every_use(gateway: Any) -> None:
    client_id = (await gateway.register())["client_id"]
    first = await gateway.connect(client_id)
    second = await tokens_of(await gateway.refresh(client_id, first["refresh_token"], resource=TIME))
    third = await tokens_of(await gateway.refresh(client_id, second["refresh_token"]))
    assert len({first["refresh_token"], second["refresh_token"], third["refresh_token"]}) == 3
    assert (await gateway.ctx.tokens.verify(third["access_token"]))["aud"] == TIME


async def test_a_lost_answer_logs_nobody_out(gateway: Any) -> None:
    client_id = (await gateway.register())["client_id"]
    first = await gateway.connect(client_id)
    await gateway.refresh(client_id, first["refresh_token"])  # the answer never arrives
    await gateway.refresh(client_id, first["refresh_token"])  # nor does this one
    third = await tokens_of(await gateway.refresh(client_id, first["refresh_token"]))
    await tokens_of(await gateway.refresh(client_id, third["refresh_token"]))


async def test_a_token_used_again_after_its_successor_ends_the_grant(gateway: Any) -> None:
    client_id = (await gateway.register())["client_id"]
    first = await gateway.connect(client_id)
    second = await tokens_of(await gateway.refresh(client_id, first["refresh_token"]))
    third = await tokens_of(await gateway.refresh(client_id, second["refresh_token"]))
    reused = await gateway.refresh(client_id, first["refresh_token"])
    assert (reused.status_code, reused.json()["error"]) == (400, "invalid_grant")
    for tokens in (first, second, third):
        assert not await gateway.is_live(tokens["access_token"])
    dead = await gateway.refresh(client_id, third["refresh_token"])
    assert (dead.status_code, dead.json()["error"]) == (400, "invalid_grant")
    assert [entry async for entry in gateway.ctx.store.list("refresh_token")] == []


async def test_reuse_is_noticed_whatever_else_is_wrong_with_the_request(gateway: Any) -> None:
    client_id = (await gateway.register())["client_id"]
    first = await gateway.connect(client_id)
    second = await tokens_of(await gateway.refresh(client_id, first["refresh_token"]))
    await gateway.refresh(client_id, second["refresh_token"])
    reused = await gateway.refresh(client_id, first["refresh_token"], resource=ECHO, scope="admin")
    assert (reused.status_code, reused.json()["error"]) == (400, "invalid_grant")
    assert [entry async for entry in gateway.ctx.store.list("grant")] == []


async def test_twenty_raced_refreshes_yield_one_family_and_nobody_is_logged_out(
    gateway: Any, make_gateway: Any
) -> None:
    replica = await make_gateway()
    client_id = (await gateway.register())["client_id"]
    first = await gateway.connect(client_id)
    raced = [
        (gateway, replica)[number % 2].refresh(client_id, first["refresh_token"]) for number in range(20)
    ]
    answers = [await tokens_of(response) for response in await asyncio.gather(*raced)]
    assert len({answer["refresh_token"] for answer in answers}) == 20
    grants = [entry.value async for entry in gateway.ctx.store.list("grant")]
    assert [grant["generation"] for grant in grants] == [1]
    for answer in answers:
        assert await gateway.is_live(answer["access_token"])
    await tokens_of(await gateway.refresh(client_id, answers[7]["refresh_token"]))
    await tokens_of(await gateway.refresh(client_id, answers[13]["refresh_token"]))


async def test_oa3_another_client_cannot_use_a_refresh_token(gateway: Any) -> None:
    owner, thief = (await gateway.register())["client_id"], (await gateway.register())["client_id"]
    tokens = await gateway.connect(owner)
    stolen = await gateway.refresh(thief, tokens["refresh_token"])
    assert (stolen.status_code, stolen.json()["error"]) == (400, "invalid_grant")
    await tokens_of(await gateway.refresh(owner, tokens["refresh_token"]))


async def test_another_server_cannot_be_named_and_nothing_rotates(gateway: Any) -> None:
    client_id = (await gateway.register())["client_id"]
    tokens = await gateway.connect(client_id)
    refused = await gateway.refresh(client_id, tokens["refresh_token"], resource=ECHO)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_target")
    assert [entry.value["generation"] async for entry in gateway.ctx.store.list("grant")] == [0]


@pytest.mark.parametrize(("scope", "status"), [("mcp", 200), ("mcp admin", 400), ("openid", 400)])
async def test_the_scope_can_shrink_and_never_grow(gateway: Any, scope: str, status: int) -> None:
    client_id = (await gateway.register())["client_id"]
    tokens = await gateway.connect(client_id)
    response = await gateway.refresh(client_id, tokens["refresh_token"], scope=scope)
    assert response.status_code == status
    assert response.json().get("error") == (None if status == 200 else "invalid_scope")


async def test_oa14_a_removed_person_is_refused_and_can_come_back_without_signing_in(gateway: Any) -> None:
    client_id = (await gateway.register())["client_id"]
    tokens = await gateway.connect(client_id)
    account = await gateway.ctx.store.take("account", "ada")
    refused = await gateway.refresh(client_id, tokens["refresh_token"])
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    await gateway.ctx.store.put("account", "ada", account)
    await tokens_of(await gateway.refresh(client_id, tokens["refresh_token"]))


async def test_the_life_of_a_grant_slides_with_every_refresh(gateway: Any, clock: Any) -> None:
    client_id = (await gateway.register())["client_id"]
    tokens = await gateway.connect(client_id)
    for _ in range(3):
        clock.advance(29 * 86400)
        tokens = await tokens_of(await gateway.refresh(client_id, tokens["refresh_token"]))
    clock.advance(30 * 86400)
    dead = await gateway.refresh(client_id, tokens["refresh_token"])
    assert (dead.status_code, dead.json()["error"]) == (400, "invalid_grant")


@pytest.mark.parametrize("token", ["nonsense", "x" * 5000])
async def test_an_unknown_refresh_token_is_an_invalid_grant(gateway: Any, token: str) -> None:
    client_id = (await gateway.register())["client_id"]
    response = await gateway.refresh(client_id, token)
    assert (response.status_code, response.json()["error"]) == (400, "invalid_grant")
