"""Refresh tokens: rotation, reuse detection, and grace for an answer that was lost."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from ..support import Clock
from .support import Gateway, MakeGateway

TIME = "http://localhost:8080/time/mcp"
ECHO = "http://localhost:8080/echo/mcp"


async def tokens_of(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def test_a_refresh_token_is_replaced_at_every_use(gateway: Gateway) -> None:
    client_id = (await gateway.register())["client_id"]
    first = await gateway.connect(client_id)
    second = await tokens_of(await gateway.refresh(client_id, first["refresh_token"], resource=TIME))
    third = await tokens_of(await gateway.refresh(client_id, second["refresh_token"]))
    assert len({first["refresh_token"], second["refresh_token"], third["refresh_token"]}) == 3
    assert (await gateway.ctx.tokens.verify(third["access_token"]))["aud"] == TIME


async def test_a_lost_answer_logs_nobody_out(gateway: Gateway, clock: Clock) -> None:
    client_id = (await gateway.register())["client_id"]
    first = await gateway.connect(client_id)
    for asleep in (0, 5, 3600, 86400):  # the answer never arrives
        clock.advance(asleep)
        await tokens_of(await gateway.refresh(client_id, first["refresh_token"]))
    clock.advance(86400)
    last = await tokens_of(await gateway.refresh(client_id, first["refresh_token"]))
    await tokens_of(await gateway.refresh(client_id, last["refresh_token"]))


async def test_two_windows_that_share_a_token_get_the_same_successor_within_a_minute(
    gateway: Gateway, make_gateway: MakeGateway, clock: Clock
) -> None:
    client_id, replica = (await gateway.register())["client_id"], await make_gateway()
    first = await gateway.connect(client_id)
    one = await tokens_of(await gateway.refresh(client_id, first["refresh_token"]))
    clock.advance(60)
    other = await tokens_of(await replica.refresh(client_id, first["refresh_token"]))
    assert one["refresh_token"] == other["refresh_token"]
    clock.advance(1)
    late = await tokens_of(await gateway.refresh(client_id, first["refresh_token"]))
    assert late["refresh_token"] != one["refresh_token"]


async def test_a_successor_that_was_replaced_ends_the_grant_when_it_is_used(
    gateway: Gateway, clock: Clock
) -> None:
    """Thief and victim both used the first token: whoever comes second with what they got is noticed."""
    client_id = (await gateway.register())["client_id"]
    first = await gateway.connect(client_id)
    victim = await tokens_of(await gateway.refresh(client_id, first["refresh_token"]))
    clock.advance(70)
    thief = await tokens_of(await gateway.refresh(client_id, first["refresh_token"]))
    refused = await gateway.refresh(client_id, victim["refresh_token"])
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    for tokens in (first, victim, thief):
        assert not await gateway.is_live(tokens["access_token"])
    assert (await gateway.refresh(client_id, thief["refresh_token"])).status_code == 400
    assert (
        "replaced" in [entry for entry in gateway.audit() if entry["event"] == "grant.revoke"][-1]["reason"]
    )


async def test_the_store_holds_no_refresh_token_that_works(gateway: Gateway) -> None:
    client_id = (await gateway.register())["client_id"]
    first = await gateway.connect(client_id)
    second = await tokens_of(await gateway.refresh(client_id, first["refresh_token"]))
    kept = [str(entry) async for entry in gateway.ctx.store.list("refresh_token")]
    assert kept
    assert not any(tokens["refresh_token"] in text for tokens in (first, second) for text in kept)


async def test_a_token_used_again_after_its_successor_ends_the_grant(gateway: Gateway) -> None:
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


async def test_reuse_is_noticed_whatever_else_is_wrong_with_the_request(gateway: Gateway) -> None:
    client_id = (await gateway.register())["client_id"]
    first = await gateway.connect(client_id)
    second = await tokens_of(await gateway.refresh(client_id, first["refresh_token"]))
    await gateway.refresh(client_id, second["refresh_token"])
    reused = await gateway.refresh(client_id, first["refresh_token"], resource=ECHO, scope="admin")
    assert (reused.status_code, reused.json()["error"]) == (400, "invalid_grant")
    assert [entry async for entry in gateway.ctx.store.list("grant")] == []


async def test_twenty_raced_refreshes_yield_one_family_and_nobody_is_logged_out(
    gateway: Gateway, make_gateway: MakeGateway
) -> None:
    replica = await make_gateway()
    client_id = (await gateway.register())["client_id"]
    first = await gateway.connect(client_id)
    raced = [
        (gateway, replica)[number % 2].refresh(client_id, first["refresh_token"]) for number in range(20)
    ]
    answers = [await tokens_of(response) for response in await asyncio.gather(*raced)]
    assert len({answer["refresh_token"] for answer in answers}) == 1
    grants = [entry.value async for entry in gateway.ctx.store.list("grant")]
    assert [grant["generation"] for grant in grants] == [1]
    for answer in answers:
        assert await gateway.is_live(answer["access_token"])
    await tokens_of(await gateway.refresh(client_id, answers[7]["refresh_token"]))
    await tokens_of(await gateway.refresh(client_id, answers[13]["refresh_token"]))
    assert await gateway.is_live(answers[0]["access_token"])


async def test_oa3_another_client_cannot_use_a_refresh_token(gateway: Gateway) -> None:
    owner, thief = (await gateway.register())["client_id"], (await gateway.register())["client_id"]
    tokens = await gateway.connect(owner)
    stolen = await gateway.refresh(thief, tokens["refresh_token"])
    assert (stolen.status_code, stolen.json()["error"]) == (400, "invalid_grant")
    await tokens_of(await gateway.refresh(owner, tokens["refresh_token"]))


async def test_another_server_cannot_be_named_and_nothing_rotates(gateway: Gateway) -> None:
    client_id = (await gateway.register())["client_id"]
    tokens = await gateway.connect(client_id)
    refused = await gateway.refresh(client_id, tokens["refresh_token"], resource=ECHO)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_target")
    assert [entry.value["generation"] async for entry in gateway.ctx.store.list("grant")] == [0]


@pytest.mark.parametrize(
    ("scope", "status"),
    [("mcp", 200), ("offline_access", 400), ("mcp offline_access", 400), ("mcp admin", 200), ("openid", 200)],
)
async def test_the_scope_can_shrink_and_never_grow(gateway: Gateway, scope: str, status: int) -> None:
    """What could never have been granted is ignored, as it was when the person approved."""
    client_id = (await gateway.register())["client_id"]
    tokens = await gateway.connect(client_id)
    response = await gateway.refresh(client_id, tokens["refresh_token"], scope=scope)
    assert response.status_code == status
    assert response.json().get("error") == (None if status == 200 else "invalid_scope")
    assert response.json().get("scope") == ("mcp" if status == 200 else None)


async def test_oa14_a_removed_person_is_refused_and_can_come_back_without_signing_in(
    gateway: Gateway,
) -> None:
    client_id = (await gateway.register())["client_id"]
    tokens = await gateway.connect(client_id)
    account = await gateway.ctx.tables.accounts.take("ada")
    assert account is not None
    refused = await gateway.refresh(client_id, tokens["refresh_token"])
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    await gateway.ctx.tables.accounts.put("ada", account)
    await tokens_of(await gateway.refresh(client_id, tokens["refresh_token"]))


async def test_the_life_of_a_grant_slides_with_every_refresh(gateway: Gateway, clock: Clock) -> None:
    client_id = (await gateway.register())["client_id"]
    tokens = await gateway.connect(client_id)
    for _ in range(3):
        clock.advance(29 * 86400)
        tokens = await tokens_of(await gateway.refresh(client_id, tokens["refresh_token"]))
    clock.advance(30 * 86400)
    dead = await gateway.refresh(client_id, tokens["refresh_token"])
    assert (dead.status_code, dead.json()["error"]) == (400, "invalid_grant")


async def test_a_grant_ends_after_180_days_however_much_it_is_used(gateway: Gateway, clock: Clock) -> None:
    client_id = (await gateway.register())["client_id"]
    tokens = await gateway.connect(client_id)
    for _ in range(9):
        clock.advance(20 * 86400 - 60)
        tokens = await tokens_of(await gateway.refresh(client_id, tokens["refresh_token"]))
    assert tokens["expires_in"] == 9 * 60
    clock.advance(9 * 60)
    dead = await gateway.refresh(client_id, tokens["refresh_token"])
    assert (dead.status_code, dead.json()["error"]) == (400, "invalid_grant")
    assert [entry async for entry in gateway.ctx.store.list("grant")] == []


@pytest.mark.parametrize("token", ["nonsense", "x" * 5000])
async def test_an_unknown_refresh_token_is_an_invalid_grant(gateway: Gateway, token: str) -> None:
    client_id = (await gateway.register())["client_id"]
    response = await gateway.refresh(client_id, token)
    assert (response.status_code, response.json()["error"]) == (400, "invalid_grant")
