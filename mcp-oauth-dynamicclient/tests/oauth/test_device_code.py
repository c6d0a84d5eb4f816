"""The device authorization grant (RFC 8628)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from mcp_oauth_dynamicclient.grants import device_code
from mcp_oauth_dynamicclient.records import Identity

from ..support import Clock
from .support import Gateway, MakeGateway

TIME = "http://localhost:8080/time/mcp"
ECHO = "http://localhost:8080/echo/mcp"
GRANT_TYPE = "urn:ietf:params:oauth:grant-type:device_code"
ADA = Identity(provider="local", subject="ada", login="ada", name="Ada")


async def begin(gateway: Gateway, **fields: str) -> tuple[str, dict[str, Any]]:
    client = await gateway.register(grant_types=[GRANT_TYPE, "refresh_token"], redirect_uris=None)
    response = await gateway.post("/device_authorization", client_id=client["client_id"], **fields)
    assert response.status_code == 200, response.text
    assert response.headers["cache-control"] == "no-store"
    return client["client_id"], response.json()


async def poll(gateway: Gateway, client_id: str, code: str, **fields: str) -> Any:
    return await gateway.post(
        "/token", grant_type=GRANT_TYPE, client_id=client_id, device_code=code, **fields
    )


async def test_a_device_gets_tokens_when_the_person_approves(gateway: Gateway, clock: Clock) -> None:
    client_id, started = await begin(gateway, resource=TIME, scope="mcp")
    assert started["verification_uri"] == "http://localhost:8080/device"
    assert (
        started["verification_uri_complete"]
        == f"http://localhost:8080/device?user_code={started['user_code']}"
    )
    assert (started["expires_in"], started["interval"]) == (600, 5)
    waiting = await poll(gateway, client_id, started["device_code"])
    assert (waiting.status_code, waiting.json()["error"]) == (400, "authorization_pending")
    typed = started["user_code"].lower().replace("-", " ")
    asked = await device_code.find(gateway.ctx, typed)
    assert asked is not None
    assert (asked.client_id, asked.resource, asked.scope) == (client_id, TIME, "mcp")
    assert await device_code.decide(gateway.ctx, typed, ADA)
    clock.advance(5)
    answer = await poll(gateway, client_id, started["device_code"], resource=TIME)
    assert answer.status_code == 200
    claims = await gateway.ctx.tokens.verify(answer.json()["access_token"])
    assert (claims["aud"], claims["sub"]) == (TIME, "local:ada")
    assert (await gateway.refresh(client_id, answer.json()["refresh_token"])).status_code == 200
    again = await poll(gateway, client_id, started["device_code"])
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")


async def test_a_device_that_polls_too_fast_is_slowed_down_each_time_more(
    gateway: Gateway, clock: Clock
) -> None:
    client_id, started = await begin(gateway)
    answers = []
    for wait in (5, 4, 9, 15):
        clock.advance(wait)
        answers.append((await poll(gateway, client_id, started["device_code"])).json()["error"])
    assert answers == ["authorization_pending", "slow_down", "slow_down", "authorization_pending"]


async def test_a_refusal_and_an_expired_code_are_told_apart(gateway: Gateway, clock: Clock) -> None:
    client_id, refused = await begin(gateway)
    other_id, expired = await begin(gateway)
    await device_code.decide(gateway.ctx, refused["user_code"], None)
    assert (await poll(gateway, client_id, refused["device_code"])).json()["error"] == "access_denied"
    clock.advance(601)
    assert (await poll(gateway, other_id, expired["device_code"])).json()["error"] == "expired_token"
    assert await device_code.find(gateway.ctx, expired["user_code"]) is None
    assert await device_code.decide(gateway.ctx, expired["user_code"], ADA) is None


async def test_a_code_is_decided_once(gateway: Gateway) -> None:
    client_id, started = await begin(gateway)
    assert await device_code.decide(gateway.ctx, started["user_code"], None)
    assert await device_code.find(gateway.ctx, started["user_code"]) is None
    assert await device_code.decide(gateway.ctx, started["user_code"], ADA) is None
    assert (await poll(gateway, client_id, started["device_code"])).json()["error"] == "access_denied"


async def test_an_approval_survives_a_poll_at_the_same_moment_and_gives_tokens_once(
    gateway: Gateway, clock: Clock
) -> None:
    client_id, started = await begin(gateway)
    await asyncio.gather(
        poll(gateway, client_id, started["device_code"]),
        device_code.decide(gateway.ctx, started["user_code"], ADA),
        poll(gateway, client_id, started["device_code"]),
    )
    clock.advance(60)
    answers = await asyncio.gather(*(poll(gateway, client_id, started["device_code"]) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 400, 400, 400, 400]


async def test_another_client_cannot_poll_for_a_code(gateway: Gateway) -> None:
    _, started = await begin(gateway)
    thief, _ = await begin(gateway)
    await device_code.decide(gateway.ctx, started["user_code"], ADA)
    assert (await poll(gateway, thief, started["device_code"])).json()["error"] == "invalid_grant"


async def test_the_token_is_for_the_approved_server_only(gateway: Gateway) -> None:
    client_id, started = await begin(gateway, resource=TIME)
    await device_code.decide(gateway.ctx, started["user_code"], ADA)
    assert (await poll(gateway, client_id, started["device_code"], resource=ECHO)).json()[
        "error"
    ] == "invalid_target"
    assert (await poll(gateway, client_id, started["device_code"])).status_code == 200


async def test_a_person_removed_after_approving_gives_no_token(gateway: Gateway) -> None:
    client_id, started = await begin(gateway)
    await device_code.decide(gateway.ctx, started["user_code"], ADA)
    await gateway.ctx.store.delete("account", "ada")
    assert (await poll(gateway, client_id, started["device_code"])).json()["error"] == "invalid_grant"


async def test_a_client_must_be_registered_for_the_grant(gateway: Gateway) -> None:
    client = await gateway.register()
    response = await gateway.post("/device_authorization", client_id=client["client_id"])
    assert (response.status_code, response.json()["error"]) == (400, "unauthorized_client")


async def test_a_setting_forbids_requests_that_name_no_server(make_gateway: MakeGateway) -> None:
    gateway = await make_gateway(require_resource=True)
    client = await gateway.register(grant_types=[GRANT_TYPE], redirect_uris=None)
    response = await gateway.post("/device_authorization", client_id=client["client_id"])
    assert (response.status_code, response.json()["error"]) == (400, "invalid_target")
    unknown = await gateway.post(
        "/device_authorization", client_id=client["client_id"], resource="https://x.example/mcp"
    )
    assert unknown.json()["error"] == "invalid_target"


async def test_device_requests_are_limited_per_address(make_gateway: MakeGateway) -> None:
    gateway = await make_gateway(registrations_per_hour=3)
    client = await gateway.register(grant_types=[GRANT_TYPE], redirect_uris=None)
    statuses = [
        (await gateway.post("/device_authorization", client_id=client["client_id"])).status_code
        for _ in range(4)
    ]
    assert statuses == [200, 200, 200, 429]


@pytest.mark.parametrize("code", ["", "BCDF-GHJK", "' OR 1=1", "é" * 300])
async def test_an_unknown_user_code_finds_nothing(gateway: Gateway, code: str) -> None:
    assert await device_code.find(gateway.ctx, code) is None
    assert await device_code.decide(gateway.ctx, code, ADA) is None
