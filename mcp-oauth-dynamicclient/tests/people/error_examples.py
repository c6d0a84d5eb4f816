"""Every way to an error page, walked as a person walks it, or as whoever attacks one does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from mcp_oauth_dynamicclient.endpoints.device_page import CODES_PER_HOUR
from mcp_oauth_dynamicclient.errors import StoreUnavailableError
from mcp_oauth_dynamicclient.servers import Presence

from ..support import Clock
from .support import Form, GitHub, Place, Visitor, Web

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
HTML = {"Accept": "text/html"}
NAME = "Test client"


@dataclass
class Walks:
    """Each method ends at an error page; ones that take time come last."""

    place: Place
    github_place: Place
    github: GitHub
    clock: Clock
    patch: pytest.MonkeyPatch

    @asynccontextmanager
    async def broken(self, owner: Any, name: str, error: Exception) -> AsyncIterator[Visitor]:
        async def fail(*_: object, **__: object) -> None:
            raise error

        visitor = await self.place.visitor()
        with self.patch.context() as patch:
            patch.setattr(owner, name, fail)
            yield visitor

    async def _started_device(self) -> tuple[Visitor, httpx.Response]:
        client = await self.place.register(name=NAME, grant_types=[DEVICE_CODE], response_types=[])
        visitor = await self.place.visitor()
        data = {"client_id": client.client_id, "resource": self.place.time}
        started = (await visitor.http.post("/device_authorization", data=data)).json()
        page = await visitor.get("/device")
        return visitor, await visitor.submit(page, user_code=started["user_code"], decision="find")

    async def _signed_in(self) -> Visitor:
        visitor = await self.place.visitor()
        await visitor.sign_in(await visitor.get("/account"))
        return visitor

    async def _at_github(self, visitor: Visitor) -> str:
        """The address that GitHub sends the browser back to."""
        form = Web.forms(await visitor.get(self.github_place.url()))[0]
        chosen = await visitor.http.post(form.action, data=form.values | {"decision": "approve"})
        page = await visitor.http.get(chosen.headers["location"])
        there = await visitor.http.get(Web.refresh(page))
        return (await visitor.http.get(there.headers["location"])).headers["location"]

    # authorize

    async def an_unknown_client(self) -> httpx.Response:
        return await (await self.place.visitor()).get(self.place.url(client_id="client_gone"))

    async def an_unknown_client_that_goes_on_and_on(self) -> httpx.Response:
        return await (await self.place.visitor()).get(self.place.url(client_id=f"client_{'x' * 5000}"))

    async def a_request_that_goes_on_and_on(self) -> httpx.Response:
        return await (await self.place.visitor()).get(self.place.url(state="x" * 10_000))

    async def no_client(self) -> httpx.Response:
        return await (await self.place.visitor()).get(self.place.url(client_id=None))

    async def no_redirect(self) -> httpx.Response:
        return await (await self.place.visitor()).get(self.place.url(redirect_uri=None))

    async def a_foreign_redirect(self) -> httpx.Response:
        return await (await self.place.visitor()).get(self.place.url(redirect_uri="https://evil.example/"))

    async def the_store_is_away(self) -> httpx.Response:
        away = StoreUnavailableError()
        async with self.broken(type(self.place.ctx.clients), "find", away) as visitor:
            return await visitor.get(self.place.url())

    async def a_fault_of_ours(self) -> httpx.Response:
        async with self.broken(type(self.place.ctx.clients), "find", KeyError("x")) as visitor:
            return await visitor.get(self.place.url())

    async def a_script(self) -> httpx.Response:
        visitor = await self.place.visitor()
        return await visitor.http.get(self.place.url(), headers={"Sec-Fetch-Mode": "cors"})

    async def a_form_of_another_site(self) -> httpx.Response:
        visitor = await self.place.visitor()
        return await visitor.http.post("/consent", headers={"Origin": "https://evil.example"})

    # consent

    async def no_answer_to_a_page_of_ours(self) -> httpx.Response:
        visitor = await self.place.visitor()
        return await visitor.http.post("/consent", data={"decision": "approve", "ticket": "x"})

    async def a_lost_cookie(self) -> httpx.Response:
        visitor = await self.place.visitor()
        page = await visitor.get(self.place.url())
        visitor.http.cookies.clear()
        return await visitor.approve(page)

    async def a_registration_that_has_changed(self) -> httpx.Response:
        client, visitor = await self.place.register(Web.WEB), await self.place.visitor()
        page = await visitor.get(self.place.url(client))
        await self.place.ctx.clients.delete(client.client_id)
        return await visitor.approve(page)

    async def an_approval_that_was_used(self) -> httpx.Response:
        visitor = await self._signed_in()
        page = await visitor.get(self.place.url())
        await self.place.redeem(Web.answer(await visitor.approve(page))["code"])
        return await visitor.approve(page)

    # signing in

    async def a_sign_in_that_nobody_knows(self) -> httpx.Response:
        return await (await self.place.visitor()).get("/login?flow=made-up")

    async def a_state_that_nobody_knows(self) -> httpx.Response:
        return await (await self.place.visitor()).get("/callback/github?state=made-up&code=x")

    async def a_sign_in_of_another_browser(self) -> httpx.Response:
        visitor = await self.place.visitor()
        form = Web.forms(await visitor.get(self.place.url()))[0]
        chosen = await visitor.http.post(form.action, data=form.values | {"decision": "approve"})
        return await (await self.place.visitor()).get(chosen.headers["location"])

    async def a_client_removed_during_the_sign_in(self) -> httpx.Response:
        client, visitor = await self.place.register(Web.WEB), await self.place.visitor()
        page = await visitor.approve(await visitor.get(self.place.url(client)))
        await self.place.ctx.clients.delete(client.client_id)
        return await visitor.sign_in(page)

    async def no_such_provider(self) -> httpx.Response:
        visitor = await self.place.visitor()
        page = await visitor.approve(await visitor.get(self.place.url()))
        return await visitor.get(f"/login/nobody?flow={Web.forms(page)[0].values['flow']}")

    async def no_local_accounts(self) -> httpx.Response:
        visitor = await self.github_place.visitor()
        form = Web.forms(await visitor.get(self.github_place.url()))[0]
        chosen = await visitor.http.post(form.action, data=form.values | {"decision": "approve"})
        flow = httpx.URL(chosen.headers["location"]).params["flow"]
        given = {"flow": flow, "username": "ada", "password": Web.PASSWORD}
        return await visitor.http.post("/login", data=given)

    async def a_provider_that_is_away(self) -> httpx.Response:
        provider = self.github_place.ctx.standings.providers["github"]
        visitor = await self.github_place.visitor()
        form = Web.forms(await visitor.get(self.github_place.url()))[0]
        chosen = await visitor.http.post(form.action, data=form.values | {"decision": "approve"})
        page = await visitor.http.get(chosen.headers["location"])
        with self.patch.context() as patch:

            async def begin(*_: object) -> str:
                raise StoreUnavailableError

            patch.setattr(provider, "begin", begin)
            return await visitor.http.get(Web.refresh(page))

    async def a_sign_in_that_is_done(self) -> httpx.Response:
        visitor = await self.github_place.visitor()
        back = await self._at_github(visitor)
        await visitor.get(back)
        return await visitor.get(back)

    async def somebody_who_is_not_admitted(self) -> httpx.Response:
        self.patch.setattr(self.github, "user", {"login": "mallory", "id": 666, "name": None, "email": None})
        return await (await self.github_place.visitor()).get("/account")

    # account and devices

    async def an_account_page_of_another_browser(self) -> httpx.Response:
        page = await (await self._signed_in()).get("/account")
        return await (await self.place.visitor()).submit(page, action="sign_out")

    async def no_answer_to_the_account_page(self) -> httpx.Response:
        return await (await self.place.visitor()).http.post("/account", data={"action": "sign_out"})

    async def no_such_button(self) -> httpx.Response:
        visitor = await self._signed_in()
        return await visitor.submit(await visitor.get("/account"), action="explode")

    async def a_device_that_was_approved(self) -> httpx.Response:
        visitor, page = await self._started_device()
        done = await visitor.sign_in(await visitor.approve(page))
        assert "Device connected" in done.text
        return await visitor.approve(page)

    async def a_device_page_of_another_browser(self) -> httpx.Response:
        _, page = await self._started_device()
        return await (await self.place.visitor()).approve(page)

    async def no_answer_to_the_device_page(self) -> httpx.Response:
        return await (await self.place.visitor()).http.post("/device", data={"decision": "approve"})

    async def too_many_codes(self) -> httpx.Response:
        visitor = await self.place.visitor()
        form = Form("/device", {"user_code": "BCDF-GHJK", "decision": "find"})
        for _ in range(CODES_PER_HOUR + 1):
            page = await visitor.http.post(form.action, data=form.values)
        return page

    # addresses

    async def nowhere(self) -> httpx.Response:
        return await (await self.place.visitor()).http.get("/no/such/page", headers=HTML)

    async def a_form_opened_as_a_page(self) -> httpx.Response:
        return await (await self.place.visitor()).http.get("/consent", headers=HTML)

    async def the_store_is_away_at_a_server(self) -> httpx.Response:
        async with self.broken(self.place.ctx.servers, "presence", StoreUnavailableError()) as visitor:
            return await visitor.http.get("/time/mcp", headers=HTML)

    async def the_store_is_away_at_the_list_of_servers(self) -> httpx.Response:
        visitor = await self._signed_in()

        async def names(*_: object) -> list[str]:
            raise StoreUnavailableError

        with self.patch.context() as patch:
            patch.setattr(self.place.ctx.servers, "names", names)
            return await visitor.get("/")

    async def the_edge_has_not_answered(self) -> httpx.Response:
        return await self._undecided("/time/mcp", HTML)

    async def the_store_is_away_at_the_gate(self) -> httpx.Response:
        async with self.broken(self.place.ctx.servers, "presence", StoreUnavailableError()) as visitor:
            return await visitor.http.get("/verify", headers=self._at_the_gate)

    async def the_edge_has_not_answered_the_gate(self) -> httpx.Response:
        return await self._undecided("/verify", self._at_the_gate)

    @property
    def _at_the_gate(self) -> dict[str, str]:
        asked = {"X-Forwarded-Host": "localhost:8080", "X-Forwarded-Uri": "/time/mcp"}
        return HTML | asked | {"X-Forwarded-Method": "GET"}

    async def _undecided(self, path: str, headers: dict[str, str]) -> httpx.Response:
        async def presence(name: str) -> Presence:
            return Presence.UNDECIDED

        visitor = await self.place.visitor()
        with self.patch.context() as patch:
            patch.setattr(self.place.ctx.servers, "presence", presence)
            return await visitor.http.get(path, headers=headers)

    # with time

    async def a_sign_in_that_took_too_long(self) -> httpx.Response:
        visitor = await self.place.visitor()
        sign_in = await visitor.approve(await visitor.get(self.place.url()))
        self.clock.advance(601)
        return await visitor.sign_in(sign_in)

    async def a_consent_page_that_lay_open(self) -> httpx.Response:
        visitor = await self.place.visitor()
        page = await visitor.get(self.place.url())
        self.clock.advance(3601)
        return await visitor.approve(page)


Walk = Callable[[Walks], Awaitable[httpx.Response]]

NAMES_NOBODY: tuple[Walk, ...] = (
    Walks.no_client, Walks.a_form_of_another_site, Walks.no_answer_to_a_page_of_ours,
    Walks.a_sign_in_that_nobody_knows, Walks.a_state_that_nobody_knows, Walks.somebody_who_is_not_admitted,
    Walks.an_account_page_of_another_browser, Walks.no_answer_to_the_account_page, Walks.no_such_button,
    Walks.no_answer_to_the_device_page, Walks.too_many_codes, Walks.nowhere, Walks.a_form_opened_as_a_page,
    Walks.the_store_is_away_at_a_server, Walks.the_store_is_away_at_the_list_of_servers,
    Walks.the_edge_has_not_answered,
    Walks.the_store_is_away_at_the_gate, Walks.the_edge_has_not_answered_the_gate,
    Walks.a_device_that_was_approved,
)  # fmt: skip
"""Where no client is known: none has asked, or nothing says which."""
NOT_RECORDED: tuple[Walk, ...] = (Walks.nowhere, Walks.a_form_opened_as_a_page)
"""Strangers open thousands of these, and nothing has happened."""
