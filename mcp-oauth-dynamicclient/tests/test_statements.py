"""Identity statements: what servers behind the gate are told, signed, and for how long it holds."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import KeySet
from mcp_oauth_dynamicclient.keys import KeyRing, StatementKeyRing
from mcp_oauth_dynamicclient.records import Grant, Identity
from mcp_oauth_dynamicclient.settings import Settings
from mcp_oauth_dynamicclient.store import Store

from .support import App, Clock

TIME = "http://localhost:8080/time/mcp"
ECHO = "http://localhost:8080/echo/mcp"
TOKEN = {"jti": "token-1", "scope": "mcp"}
KEYS, RENEWAL = "/internal/identity/keys", "/internal/identity/renewal"


def parts(statement: str) -> tuple[dict[str, Any], dict[str, Any]]:
    header, claims = (json.loads(base64.urlsafe_b64decode(p + "==")) for p in statement.split(".")[:2])
    return header, claims


async def test_a_statement_says_who_and_for_which_server_and_servers_can_check_it(
    app: App, clock: Clock
) -> None:
    grant = await app.grant()
    assert grant.identity is not None
    statement = await app.ctx.statements.about(grant, TOKEN, TIME)
    header, claims = parts(statement)
    published = (await app.http.get(KEYS)).json()
    assert published["issuer"] == "http://localhost:8080"
    assert header == {"alg": "ES256", "typ": "mcp-identity+jwt", "kid": published["keys"][0]["kid"]}
    assert claims == {
        "iss": "http://localhost:8080", "aud": TIME, "sub": grant.identity.user_id,
        "name": grant.identity.login, "client_id": "client_1", "scope": "mcp",
        "iat": int(clock()), "exp": int(clock()) + 300, "jti": "token-1", "sid": grant.grant_id,
    }  # fmt: skip
    keys = KeySet.import_key_set({"keys": published["keys"]})
    assert jws.deserialize_compact(statement, keys, ["ES256"]).payload
    assert len(statement) < 1024


async def test_it_is_made_once_for_a_token_and_a_minute(app: App, clock: Clock) -> None:
    grant = await app.grant()
    clock.advance(60 - int(clock()) % 60)
    first = await app.ctx.statements.about(grant, TOKEN, TIME)
    clock.advance(59)
    assert await app.ctx.statements.about(grant, TOKEN, TIME) == first
    assert await app.ctx.statements.about(grant, TOKEN, ECHO) != first
    assert await app.ctx.statements.about(grant, TOKEN | {"jti": "token-2"}, TIME) != first
    clock.advance(1)
    again = await app.ctx.statements.about(grant, TOKEN, TIME)
    assert parts(again)[1]["exp"] == parts(first)[1]["exp"] + 60


async def test_what_is_remembered_is_bounded(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcp_oauth_dynamicclient.statements.REMEMBERED", 5)
    grant = await app.grant()
    for number in range(20):
        await app.ctx.statements.about(grant, TOKEN | {"jti": f"token-{number}"}, TIME)
    assert len(app.ctx.statements._made) == 5


@pytest.mark.parametrize(
    "values",
    [
        {"client_id": "https://client.example/" + "x" * 2000},
        {"identity": Identity(provider="oidc", subject="s" * 250, login="名" * 300)},
        {"identity": None, "client_name": "Client " * 100},
    ],
)
async def test_long_names_do_not_make_it_long(app: App, values: dict[str, Any]) -> None:
    grant = await app.grant(**values)
    statement = await app.ctx.statements.about(grant, TOKEN, TIME)
    assert len(statement) < 1024
    claims = parts(statement)[1]
    assert claims["sub"] == (grant.identity.user_id if grant.identity else f"client:{grant.client_id}")


async def test_every_replica_signs_with_one_key_which_no_access_token_knows(
    settings: Settings, store: Store, clock: Clock
) -> None:
    one, two = StatementKeyRing(settings, store, clock), StatementKeyRing(settings, store, clock)
    key = await one.signing()
    assert await two.signing() == key
    assert set(key.public) == {"kty", "crv", "x", "y", "use", "alg", "kid"}
    assert (await KeyRing(settings, store, clock).signing()).kid != key.kid
    assert "PRIVATE" not in json.dumps([entry.value async for entry in store.list("statement_key")])


async def test_an_access_token_key_is_not_among_the_published_ones_nor_the_reverse(app: App) -> None:
    inside = {key["kid"] for key in (await app.http.get(KEYS)).json()["keys"]}
    outside = {key["kid"] for key in (await app.http.get("/jwks")).json()["keys"]}
    assert inside
    assert outside
    assert not inside & outside


async def test_a_replaced_key_checks_until_its_statements_have_ended(
    settings: Settings, store: Store, clock: Clock
) -> None:
    ring = StatementKeyRing(settings, store, clock)
    old = await ring.signing()
    new = await ring.rotate()
    assert [key.kid for key in await ring.published()] == [new.kid, old.kid]
    clock.advance(300 + 601)
    assert [key.kid for key in await ring.published()] == [new.kid]


async def renewed(app: App, statement: str | bytes) -> tuple[int, dict[str, Any]]:
    answer = await app.http.post(RENEWAL, content=statement)
    return answer.status_code, answer.json()


async def test_a_statement_is_renewed_while_the_grant_lives(app: App, clock: Clock) -> None:
    statement = await app.ctx.statements.about(await app.grant(), TOKEN, TIME)
    clock.advance(290)
    status, answer = await renewed(app, statement)
    assert status == 200
    old, new = parts(statement)[1], parts(answer["statement"])[1]
    assert new | {"iat": 0, "exp": 0} == old | {"iat": 0, "exp": 0}
    assert new["exp"] == int(clock()) + 300


async def revoke_grant(app: App, grant: Grant) -> None:
    await app.ctx.store.delete("grant", grant.grant_id)


async def revoke_token(app: App, grant: Grant) -> None:
    await app.ctx.store.put("revoked", TOKEN["jti"], {})


async def disable_account(app: App, grant: Grant) -> None:
    await app.ctx.tables.accounts.update("ada", lambda ada: ada.model_copy(update={"disabled": True}))


@pytest.mark.parametrize("revoke", [revoke_grant, revoke_token, disable_account])
async def test_after_a_revocation_it_is_not(app: App, revoke: Callable[..., Any]) -> None:
    grant = await app.grant()
    statement = await app.ctx.statements.about(grant, TOKEN, TIME)
    assert (await renewed(app, statement))[0] == 200
    await revoke(app, grant)
    assert (await renewed(app, statement))[0] == 403


async def test_only_a_statement_of_ours_that_has_not_long_ended_is_renewed(app: App, clock: Clock) -> None:
    grant = await app.grant()
    statement = await app.ctx.statements.about(grant, TOKEN, TIME)
    token = await app.token(grant)
    head, body, signature = statement.split(".")
    for wrong in (
        "",
        "x",
        token,
        f"{head}.{body}.",
        f"{head}.{body}.{signature[:-4]}AAAA",
        "x" * 5000,
        b"\xff" * 50,
    ):
        assert (await renewed(app, wrong))[0] == 400, wrong
    clock.advance(331)
    assert (await renewed(app, statement))[0] == 400
