"""Stolen refresh tokens: a victim, a second window of hers and a thief, in any order and at any pace.

The rule that is played against the gateway here is written anew, from the issued tokens alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as play
from mcp_oauth_dynamicclient.app import create_app
from mcp_oauth_dynamicclient.errors import InvalidGrantError
from mcp_oauth_dynamicclient.forms import Form
from mcp_oauth_dynamicclient.grants import grant, refresh_token
from mcp_oauth_dynamicclient.records import Account, Client, Identity
from mcp_oauth_dynamicclient.settings import Settings

ADA = Identity(provider="local", subject="ada", login="ada")
CLIENT = Client(
    client_id="client_1",
    metadata={"grant_types": ["authorization_code", "refresh_token"]},
    source="preregistered",
)


class Theft(RuleBasedStateMachine):
    """`make_settings` and `store_url` are set by the test."""

    make_settings: Callable[..., Settings]
    store_url: str

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.time = 1_800_000_000.0
        self.app = create_app(
            self.make_settings(store_url=self.store_url, audit_log="/dev/null"), now=lambda: self.time
        )
        self.issued: list[str] = []
        """Every token of the family, oldest first; the last one is in use."""
        self.exchanged_at = 0.0
        self.predecessor: str | None = None
        self.is_revoked = False
        self.was_stolen = False

    @initialize()
    def sign_in(self) -> None:
        self.victim = self.run(self._sign_in())
        self.thief: str | None = None
        self.issued.append(self.victim)

    async def _sign_in(self) -> str:
        ctx = self.app.ctx
        await ctx.store.put(
            "account", "ada", Account(name="ada", password_hash="x", created_at=0).model_dump()
        )
        given = await grant.create(
            ctx, client=CLIENT, identity=ADA, resource=None, scope="mcp", lives=grant.lifetime(ctx, CLIENT)
        )
        self.grant_id = given.grant_id
        return await refresh_token.issue(ctx, given)

    def run(self, coroutine: Any) -> Any:
        return self.runner.run(coroutine)

    def present(self, token: str) -> str | None:
        """Use a token, and compare what happens with the rule; the successor."""
        expected = self._expected(token)
        try:
            answer = self.run(refresh_token.redeem(self.app.ctx, CLIENT, Form({"refresh_token": token})))
        except InvalidGrantError:
            assert expected == "refused"
            self.is_revoked = True
            return None
        successor: str = answer["refresh_token"]
        if expected == "same":
            assert successor == self.issued[-1]
        else:
            assert expected == "new"
            assert successor not in self.issued
            self.predecessor = token
            self.issued.append(successor)
            self.exchanged_at = self.time
        return successor

    def _expected(self, token: str) -> str:
        if self.is_revoked:
            return "refused"
        if token == self.issued[-1]:
            return "new"
        if token == self.predecessor:
            return "same" if self.time - self.exchanged_at <= 60 else "new"
        return "refused"

    @rule(seconds=st.sampled_from([1, 59, 60, 61, 3600, 86400]))
    def time_passes(self, seconds: int) -> None:
        self.time += seconds

    @rule()
    def the_victim_refreshes(self) -> None:
        self.victim = self.present(self.victim) or self.victim

    @rule()
    def the_answer_to_the_victim_is_lost(self) -> None:
        self.present(self.victim)

    @rule()
    def a_second_window_refreshes_at_the_same_time(self) -> None:
        shared = self.victim
        one, other = self.present(shared), self.present(shared)
        assert one == other
        self.victim = one or self.victim

    @rule(which=st.integers(0, 3))
    def the_thief_copies(self, which: int) -> None:
        """What the victim has now, or had a little earlier."""
        known = [token for token in self.issued if token == self.victim or token == self.predecessor]
        self.thief = known[which % len(known)]
        self.was_stolen = True

    @precondition(lambda self: self.thief is not None)
    @rule()
    def the_thief_refreshes(self) -> None:
        assert self.thief is not None
        self.thief = self.present(self.thief) or self.thief

    @precondition(lambda self: self.is_revoked)
    @rule(which=st.integers(0, 50))
    def nothing_of_a_revoked_family_works(self, which: int) -> None:
        assert self.present(self.issued[which % len(self.issued)]) is None

    @invariant()
    def nobody_is_signed_out_without_a_thief(self) -> None:
        assert self.was_stolen or not self.is_revoked

    def teardown(self) -> None:
        """Whatever came before: if both go on, at their own pace, both are out within three rounds."""
        try:
            if self.thief is not None:
                for _ in range(3):
                    self.time += 61
                    self.the_victim_refreshes()
                    self.time += 61
                    self.the_thief_refreshes()
                assert self.is_revoked
                assert self.run(grant.load(self.app.ctx, self.grant_id)) is None
        finally:
            self.run(self.app.aclose())
            self.runner.close()


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_a_stolen_refresh_token_is_noticed_and_nobody_else_is_signed_out(
    kind: str, make_settings: Callable[..., Settings], request: pytest.FixtureRequest
) -> None:
    url = "sqlite:///:memory:" if kind == "sqlite" else request.getfixturevalue("redis_server").url
    machine = type("Theft", (Theft,), {"make_settings": staticmethod(make_settings), "store_url": url})
    play(
        machine,
        settings=settings(
            max_examples=20, stateful_step_count=20, deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors],
        ),
    )  # fmt: skip
