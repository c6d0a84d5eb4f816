"""The authorization code grant: RFC 6749 section 4.1, RFC 7636, RFC 8707."""

from __future__ import annotations

import asyncio

import pytest

from ..support import Clock
from .support import Gateway, MakeGateway

TIME = "http://localhost:8080/time/mcp"
ECHO = "http://localhost:8080/echo/mcp"


async def test_a_code_buys_an_access_token_for_its_server_and_a_refresh_token(gateway: Gateway) -> None:
    client = await gateway.register()
    code, verifier = await gateway.approve(client["client_id"])
    response = await gateway.redeem(client["client_id"], code, verifier, resource=TIME)
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["pragma"] == "no-cache"
    answer = response.json()
    assert answer["token_type"] == "Bearer"
    assert answer["expires_in"] == 3600
    assert answer["scope"] == "mcp"
    assert answer["refresh_token"]
    claims = await gateway.ctx.tokens.verify(answer["access_token"])
    assert claims["aud"] == TIME
    assert claims["sub"] == "local:ada"
    assert claims["client_id"] == client["client_id"]


async def test_only_hashes_of_codes_and_refresh_tokens_are_stored(gateway: Gateway) -> None:
    client = await gateway.register()
    code, verifier = await gateway.approve(client["client_id"])
    tokens = (await gateway.redeem(client["client_id"], code, verifier)).json()
    stored = []
    for kind in ("code", "refresh_token", "grant"):
        stored += [repr(entry) async for entry in gateway.ctx.store.list(kind)]
    assert len(stored) == 3
    for secret in (code, tokens["refresh_token"], tokens["access_token"]):
        assert secret not in "".join(stored)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"code_verifier": "w" * 50}, "invalid_grant"),
        ({"code_verifier": None}, "invalid_request"),
        ({"code_verifier": "too-short"}, "invalid_request"),
        ({"redirect_uri": "https://client.example/callback/"}, "invalid_grant"),
        ({"resource": ECHO}, "invalid_target"),
        ({"resource": "https://elsewhere.example/mcp"}, "invalid_target"),
    ],
)
async def test_a_request_that_does_not_fit_is_refused_and_leaves_the_code_usable(
    gateway: Gateway, change: dict[str, str | None], error: str
) -> None:
    client = await gateway.register()
    code, verifier = await gateway.approve(client["client_id"])
    refused = await gateway.redeem(client["client_id"], code, verifier, **change)
    assert (refused.status_code, refused.json()["error"]) == (400, error)
    assert refused.headers["cache-control"] == "no-store"
    assert (await gateway.redeem(client["client_id"], code, verifier)).status_code == 200


async def test_oa2_another_client_cannot_redeem_a_code_and_does_not_spoil_it(gateway: Gateway) -> None:
    owner, thief = await gateway.register(), await gateway.register()
    code, verifier = await gateway.approve(owner["client_id"])
    stolen = await gateway.redeem(thief["client_id"], code, verifier)
    assert (stolen.status_code, stolen.json()["error"]) == (400, "invalid_grant")
    assert (await gateway.redeem(owner["client_id"], code, verifier)).status_code == 200


async def test_oa6_a_code_lasts_sixty_seconds(gateway: Gateway, clock: Clock) -> None:
    client = await gateway.register()
    code, verifier = await gateway.approve(client["client_id"])
    clock.advance(60)
    expired = await gateway.redeem(client["client_id"], code, verifier)
    assert (expired.status_code, expired.json()["error"]) == (400, "invalid_grant")


async def test_the_redirect_uri_may_be_left_out_and_must_be_right_when_it_is_sent(gateway: Gateway) -> None:
    client = await gateway.register()
    code, verifier = await gateway.approve(client["client_id"])
    wrong = await gateway.redeem(
        client["client_id"], code, verifier, redirect_uri="https://client.example/other"
    )
    assert (wrong.status_code, wrong.json()["error"]) == (400, "invalid_grant")
    assert (await gateway.redeem(client["client_id"], code, verifier, redirect_uri=None)).status_code == 200


async def test_a_code_used_twice_revokes_everything_issued_from_it(gateway: Gateway) -> None:
    client = await gateway.register()
    code, verifier = await gateway.approve(client["client_id"])
    tokens = (await gateway.redeem(client["client_id"], code, verifier)).json()
    assert await gateway.is_live(tokens["access_token"])
    again = await gateway.redeem(client["client_id"], code, verifier)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    assert not await gateway.is_live(tokens["access_token"])
    refused = await gateway.refresh(client["client_id"], tokens["refresh_token"])
    assert refused.json()["error"] == "invalid_grant"
    assert any(
        line["reason"] == "authorization code used twice" for line in gateway.audit() if "reason" in line
    )


async def test_reuse_is_noticed_long_after_the_code_has_expired(gateway: Gateway, clock: Clock) -> None:
    client = await gateway.register()
    code, verifier = await gateway.approve(client["client_id"])
    tokens = (await gateway.redeem(client["client_id"], code, verifier)).json()
    clock.advance(1800)
    await gateway.redeem(client["client_id"], code, verifier)
    assert not await gateway.is_live(tokens["access_token"])


async def test_a_code_raced_by_many_is_redeemed_by_at_most_one_and_then_by_none(gateway: Gateway) -> None:
    client = await gateway.register()
    code, verifier = await gateway.approve(client["client_id"])
    answers = await asyncio.gather(*(gateway.redeem(client["client_id"], code, verifier) for _ in range(10)))
    won = [answer.json() for answer in answers if answer.status_code == 200]
    assert len(won) <= 1
    assert {answer.json()["error"] for answer in answers if answer.status_code != 200} == {"invalid_grant"}
    for tokens in won:
        assert not await gateway.is_live(tokens["access_token"])


async def test_without_a_resource_the_token_is_for_every_server_and_can_be_narrowed_to_one(
    gateway: Gateway,
) -> None:
    client = await gateway.register()
    everything = await gateway.connect(client["client_id"], resource=None)
    assert (await gateway.ctx.tokens.verify(everything["access_token"]))["aud"] == "http://localhost:8080"
    code, verifier = await gateway.approve(client["client_id"], resource=None)
    one = await gateway.redeem(client["client_id"], code, verifier, resource=ECHO)
    assert (await gateway.ctx.tokens.verify(one.json()["access_token"]))["aud"] == ECHO


async def test_a_grant_ends_with_its_code_unless_it_is_redeemed(gateway: Gateway, clock: Clock) -> None:
    client = await gateway.register()
    await gateway.approve(client["client_id"])
    assert len([entry async for entry in gateway.ctx.store.list("grant", "user:local:ada")]) == 1
    clock.advance(61)
    assert [entry async for entry in gateway.ctx.store.list("grant", "user:local:ada")] == []


async def test_a_grant_revoked_before_the_code_is_redeemed_gives_no_token(gateway: Gateway) -> None:
    client = await gateway.register()
    code, verifier = await gateway.approve(client["client_id"])
    async for entry in gateway.ctx.store.list("grant"):
        await gateway.ctx.store.delete("grant", entry.key)
    refused = await gateway.redeem(client["client_id"], code, verifier)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")


async def test_a_person_removed_meanwhile_gets_no_token(gateway: Gateway) -> None:
    client = await gateway.register()
    code, verifier = await gateway.approve(client["client_id"])
    await gateway.ctx.store.delete("account", "ada")
    refused = await gateway.redeem(client["client_id"], code, verifier)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")


async def test_a_client_registered_without_refresh_tokens_gets_none(gateway: Gateway) -> None:
    client = await gateway.register(grant_types=["authorization_code"])
    assert "refresh_token" not in await gateway.connect(client["client_id"])


async def test_no_secret_reaches_the_audit_log(gateway: Gateway) -> None:
    client = await gateway.register(token_endpoint_auth_method="client_secret_post")
    code, verifier = await gateway.approve(client["client_id"])
    answer = await gateway.redeem(client["client_id"], code, verifier, client_secret=client["client_secret"])
    await gateway.redeem(client["client_id"], code, verifier, client_secret="wrong")
    log = gateway.audit_path.read_text()
    assert '"event": "token.issue"' in log
    for secret in (
        code,
        verifier,
        client["client_secret"],
        *(answer.json()[name] for name in ("access_token", "refresh_token")),
    ):
        assert secret not in log


async def test_the_redirect_uri_may_be_left_out_since_pkce_proves_more(gateway: Gateway) -> None:
    client_id = (await gateway.register())["client_id"]
    code, verifier = await gateway.approve(client_id)
    assert (await gateway.redeem(client_id, code, verifier, redirect_uri=None)).status_code == 200


async def test_one_consent_gives_one_code_on_every_replica(
    gateway: Gateway, make_gateway: MakeGateway
) -> None:
    replica = await make_gateway()
    client_id = (await gateway.register())["client_id"]
    sent = [place.approve(client_id, consent="c" * 64) for place in (gateway, replica) * 5]
    codes = {code for code, _ in await asyncio.gather(*sent)}
    assert len(codes) == 1
    assert len([entry async for entry in gateway.ctx.store.list("grant")]) == 1


async def test_a_consent_whose_code_was_used_or_has_expired_gives_no_other(
    gateway: Gateway, clock: Clock
) -> None:
    client_id = (await gateway.register())["client_id"]
    code, verifier = await gateway.approve(client_id, consent="used")
    await gateway.approve(client_id, consent="expired")
    assert (await gateway.redeem(client_id, code, verifier)).status_code == 200
    clock.advance(60)
    for consent in ("used", "expired"):
        assert (await gateway.approve(client_id, consent=consent))[0] is None
