"""The operator's own token, for trying a server: for that server, for two minutes, and gone afterwards."""

from __future__ import annotations

import json
from pathlib import Path

from mcp_oauth_dynamicclient import operator_token

from .support import App, Clock

TIME = "http://localhost:8080/time/mcp"
ECHO = "http://localhost:8080/echo/mcp"


async def test_it_opens_its_server_alone_and_only_while_it_is_needed(app: App) -> None:
    async with operator_token.issued(app.ctx, TIME, "doctor") as given:
        token = given.token
        opened = await app.forward(TIME, token)
        assert opened.status_code == 200
        assert opened.headers["x-user-id"] == "client:operator:doctor"
        assert (await app.forward(ECHO, token)).status_code == 401
    assert (await app.forward(TIME, token)).status_code == 401


async def test_it_is_revoked_when_the_trial_fails(app: App) -> None:
    trial = operator_token.issued(app.ctx, TIME, "doctor")
    given = await trial.__aenter__()
    problem = RuntimeError()
    assert not await trial.__aexit__(RuntimeError, problem, None)
    assert (await app.forward(TIME, given.token)).status_code == 401
    assert [entry async for entry in app.ctx.store.list("grant")] == []


async def test_it_ends_by_itself_if_nobody_is_left_to_revoke_it(app: App, clock: Clock) -> None:
    async with operator_token.issued(app.ctx, TIME, "doctor") as given:
        clock.advance(operator_token.LIVES + 1)
        assert (await app.forward(TIME, given.token)).status_code == 401
        assert [entry async for entry in app.ctx.store.list("grant")] == []


async def test_the_audit_log_has_its_beginning_and_end_and_never_the_token(app: App, tmp_path: Path) -> None:
    async with operator_token.issued(app.ctx, TIME, "doctor") as given:
        pass
    text = (tmp_path / "audit.log").read_text()
    told = [json.loads(line) for line in text.splitlines()]
    assert [(line["event"], line["client"], line["resource"]) for line in told] == [
        ("token.issue", "operator:doctor", TIME),
        ("grant.revoke", "operator:doctor", TIME),
    ]
    assert given.token.split(".")[2] not in text


async def test_no_client_can_take_its_name(app: App) -> None:
    """A registration's id is the server's to choose; a document's is a URL."""
    asked = {"client_id": "operator:doctor", "redirect_uris": ["http://127.0.0.1/callback"]}
    registered = await app.http.post("/register", json=asked)
    assert registered.status_code == 201
    assert registered.json()["client_id"] != "operator:doctor"
