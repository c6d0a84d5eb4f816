"""Revocation (RFC 7009) and introspection (RFC 7662): one's own tokens only."""

from __future__ import annotations

from typing import Any

import pytest
from mcp_oauth_dynamicclient.grants import grant

from ..support import Clock
from .support import Gateway

TIME = "http://localhost:8080/time/mcp"
ECHO = "http://localhost:8080/echo/mcp"


async def confidential(gateway: Gateway) -> dict[str, Any]:
    client: dict[str, Any] = await gateway.register(token_endpoint_auth_method="client_secret_post")
    return {"client_id": client["client_id"], "client_secret": client["client_secret"]}


async def connect(gateway: Gateway, me: dict[str, Any]) -> dict[str, Any]:
    code, verifier = await gateway.approve(me["client_id"])
    response = await gateway.post(
        "/token", grant_type="authorization_code", code=code, code_verifier=verifier,
        redirect_uri="https://client.example/callback", **me,
    )  # fmt: skip
    assert response.status_code == 200, response.text
    tokens: dict[str, Any] = response.json()
    return tokens


async def introspect(gateway: Gateway, me: dict[str, Any], token: str) -> dict[str, Any]:
    response = await gateway.post("/introspect", token=token, **me)
    assert response.status_code == 200, response.text
    assert response.headers["cache-control"] == "no-store"
    answer: dict[str, Any] = response.json()
    return answer


@pytest.mark.parametrize("hint", [None, "access_token", "refresh_token", "nonsense"])
async def test_revoking_a_refresh_token_ends_the_grant_whatever_the_hint(
    gateway: Gateway, hint: str | None
) -> None:
    me = await confidential(gateway)
    tokens = await connect(gateway, me)
    response = await gateway.post("/revoke", token=tokens["refresh_token"], token_type_hint=hint, **me)
    assert (response.status_code, response.content) == (200, b"")
    assert not await gateway.is_live(tokens["access_token"])
    assert (await gateway.refresh(me["client_id"], tokens["refresh_token"], **me)).json()[
        "error"
    ] == "invalid_grant"


async def test_revoking_an_access_token_ends_that_token_alone(gateway: Gateway) -> None:
    me = await confidential(gateway)
    tokens = await connect(gateway, me)
    second = (await gateway.refresh(me["client_id"], tokens["refresh_token"], **me)).json()
    assert (await gateway.post("/revoke", token=tokens["access_token"], **me)).status_code == 200
    assert not await gateway.is_live(tokens["access_token"])
    assert await gateway.is_live(second["access_token"])
    assert (await gateway.refresh(me["client_id"], second["refresh_token"], **me)).status_code == 200


async def test_oa11_nobody_revokes_or_sees_the_tokens_of_another_client(gateway: Gateway) -> None:
    me, other = await confidential(gateway), await confidential(gateway)
    tokens = await connect(gateway, me)
    for token in (tokens["access_token"], tokens["refresh_token"]):
        assert (await gateway.post("/revoke", token=token, **other)).status_code == 200
        assert await introspect(gateway, other, token) == {"active": False}
    assert await gateway.is_live(tokens["access_token"])
    assert (await introspect(gateway, me, tokens["refresh_token"]))["active"] is True


async def test_a_public_client_may_revoke_and_not_introspect(gateway: Gateway) -> None:
    client_id = (await gateway.register())["client_id"]
    tokens = await gateway.connect(client_id)
    refused = await gateway.post("/introspect", token=tokens["access_token"], client_id=client_id)
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
    assert (
        await gateway.post("/revoke", token=tokens["refresh_token"], client_id=client_id)
    ).status_code == 200
    assert not await gateway.is_live(tokens["access_token"])


@pytest.mark.parametrize("token", ["nonsense", "a.b.c", "é", "x" * 9000])
async def test_an_unknown_token_is_already_revoked_and_not_active(gateway: Gateway, token: str) -> None:
    me = await confidential(gateway)
    assert (await gateway.post("/revoke", token=token, **me)).status_code == 200
    assert await introspect(gateway, me, token) == {"active": False}


@pytest.mark.parametrize("path", ["/revoke", "/introspect"])
async def test_a_request_without_a_token_is_an_invalid_request(gateway: Gateway, path: str) -> None:
    response = await gateway.post(path, **await confidential(gateway))
    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


async def test_introspection_tells_what_a_live_token_is(gateway: Gateway) -> None:
    me = await confidential(gateway)
    tokens = await connect(gateway, me)
    access = await introspect(gateway, me, tokens["access_token"])
    assert access["active"] is True
    assert (access["client_id"], access["username"], access["sub"]) == (me["client_id"], "ada", "local:ada")
    assert (access["aud"], access["iss"], access["scope"]) == (TIME, "http://localhost:8080", "mcp")
    assert access["exp"] > access["iat"]
    refresh = await introspect(gateway, me, tokens["refresh_token"])
    assert (refresh["active"], refresh["aud"], refresh["sub"]) == (True, TIME, "local:ada")


async def test_introspection_tells_when_a_token_has_ended(gateway: Gateway, clock: Clock) -> None:
    me = await confidential(gateway)
    revoked, expired, barred = [await connect(gateway, me) for _ in range(3)]
    await gateway.post("/revoke", token=revoked["access_token"], **me)
    assert await introspect(gateway, me, revoked["access_token"]) == {"active": False}
    clock.advance(3600)
    assert await introspect(gateway, me, expired["access_token"]) == {"active": False}
    assert (await introspect(gateway, me, barred["refresh_token"]))["active"] is True
    await gateway.ctx.store.delete("account", "ada")
    assert await introspect(gateway, me, barred["refresh_token"]) == {"active": False}


async def test_a_person_is_listed_and_can_be_revoked_grant_by_grant_or_whole(gateway: Gateway) -> None:
    one, two = (await gateway.register())["client_id"], (await gateway.register())["client_id"]
    first, second = await gateway.connect(one), await gateway.connect(two)
    listed = [given async for given in grant.list_user(gateway.ctx, "local:ada")]
    assert {given.client_id for given in listed} == {one, two}
    assert {given.redirect_host for given in listed} == {"client.example"}
    mine = next(given for given in listed if given.client_id == one)
    assert await grant.revoke(gateway.ctx, mine.grant_id, "revoked by the person")
    assert not await grant.revoke(gateway.ctx, mine.grant_id, "revoked by the person")
    assert not await gateway.is_live(first["access_token"])
    assert await gateway.is_live(second["access_token"])
    assert await grant.revoke_user(gateway.ctx, "local:ada", "everything") == 1
    assert not await gateway.is_live(second["access_token"])
    assert [given async for given in grant.list_user(gateway.ctx, "local:ada")] == []


async def test_a_server_that_the_operator_entered_introspects_the_tokens_that_open_it(
    gateway: Gateway,
) -> None:
    async def server(**metadata: str) -> dict[str, Any]:
        registration = await gateway.ctx.clients.preregister(
            {"grant_types": ["client_credentials"], "token_endpoint_auth_method": "client_secret_post"}
            | metadata
        )
        return {"client_id": registration.client.client_id, "client_secret": registration.client_secret}

    mine, other, none = [await server(**name) for name in ({"resource": TIME}, {"resource": ECHO}, {})]
    client_id = (await gateway.register())["client_id"]
    tokens = await gateway.connect(client_id)
    seen = await introspect(gateway, mine, tokens["access_token"])
    assert (seen["active"], seen["sub"], seen["aud"], seen["client_id"]) == (
        True,
        "local:ada",
        TIME,
        client_id,
    )
    assert await introspect(gateway, mine, tokens["refresh_token"]) == {"active": False}
    for stranger in (other, none):
        assert await introspect(gateway, stranger, tokens["access_token"]) == {"active": False}
    everywhere = await gateway.connect(client_id, resource=None)
    assert (await introspect(gateway, other, everywhere["access_token"]))["active"] is True


async def test_nobody_registers_as_a_server(gateway: Gateway) -> None:
    client = await gateway.register(token_endpoint_auth_method="client_secret_post", resource=TIME)
    assert "resource" not in client
    me = {"client_id": client["client_id"], "client_secret": client["client_secret"]}
    tokens = await gateway.connect((await gateway.register())["client_id"])
    assert await introspect(gateway, me, tokens["access_token"]) == {"active": False}
