"""The consent page and the answer to it (design guarantee 2)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ..support import Clock
from .support import Place, Visitor, Web


async def approved(place: Place, visitor: Visitor, **changes: str | None) -> Any:
    page = await visitor.get(place.url(**changes))
    return await visitor.sign_in(await visitor.approve(page))


async def test_the_page_names_client_destination_server_and_scopes(place: Place, visitor: Visitor) -> None:
    page = await visitor.get(place.url(scope="mcp offline_access"))
    assert page.status_code == 200
    for words in (
        "Test client",
        "unverified",
        "client.example",
        place.time,
        "tools, prompts",
        "until you revoke",
    ):
        assert words in page.text


async def test_approve_and_sign_in_end_with_a_code_that_works(
    place: Place, visitor: Visitor, web: type[Web]
) -> None:
    response = await approved(place, visitor)
    told = web.answer(response)
    assert told["state"] == "the client's state"
    assert told["iss"] == place.issuer
    tokens = await place.redeem(told["code"])
    assert tokens.status_code == 200
    assert await place.verify(tokens.json()["access_token"]) == 200


async def test_deny_tells_the_client_and_nothing_is_issued(
    place: Place, visitor: Visitor, web: type[Web]
) -> None:
    response = await visitor.submit(await visitor.get(place.url()), decision="deny")
    told = web.answer(response)
    assert told["error"] == "access_denied"
    assert told["state"] == "the client's state"
    assert told["iss"] == place.issuer
    assert "code" not in told
    assert [entry async for entry in place.ctx.store.list("code")] == []
    assert [entry async for entry in place.ctx.store.list("login")] == []


async def test_nobody_is_signed_in_before_consent(place: Place, visitor: Visitor) -> None:
    await visitor.get(place.url())
    assert [entry async for entry in place.ctx.store.list("login")] == []
    page = await visitor.http.get("/login", params={"flow": "guessed"})
    assert page.status_code == 400


async def test_consent_is_asked_again_although_signed_in_and_approved_before(
    place: Place, visitor: Visitor, web: type[Web]
) -> None:
    await approved(place, visitor)
    page = await visitor.get(place.url())
    assert page.status_code == 200
    assert "Approve" in page.text
    assert "ada" in page.text
    assert "code" in web.answer(await visitor.approve(page))


async def test_without_resource_the_page_says_every_server(place: Place, visitor: Visitor) -> None:
    page = await visitor.get(place.url(resource=None))
    assert "Every server of this gateway" in page.text


async def test_a_loopback_client_is_warned_about_and_redirected_to(
    place: Place, visitor: Visitor, web: type[Web]
) -> None:
    client = await place.register("http://127.0.0.1/callback")
    page = await visitor.get(place.url(client, redirect_uri=web.LOOPBACK))
    assert "this computer (127.0.0.1:7777)" in page.text
    assert "Any program running on this computer" in page.text
    assert "form-action 'self' http://127.0.0.1:7777;" in page.headers["content-security-policy"]
    response = await visitor.sign_in(await visitor.approve(page))
    assert response.status_code == 303
    assert response.headers["location"].startswith(f"{web.LOOPBACK}?code=")


async def test_a_browser_gets_a_page_that_goes_on_after_a_form(
    place: Place, visitor: Visitor, web: type[Web]
) -> None:
    """Its form-action would else apply to whatever redirects the client makes."""
    visitor.http.headers["Sec-Fetch-Mode"] = "navigate"
    page = await visitor.get(place.url())
    for response in (
        await visitor.submit(page, decision="deny"),
        await visitor.sign_in(await visitor.approve(page)),
        await visitor.approve(page),
    ):
        assert response.status_code == 200
        assert web.refresh(response).startswith(web.WEB)
        assert web.refresh(response) in web.links(response)


async def test_an_apps_own_scheme_gets_a_page_that_goes_on(
    place: Place, visitor: Visitor, web: type[Web]
) -> None:
    client = await place.register("cursor://anysphere.cursor-mcp/oauth/callback", application_type="native")
    page = await visitor.get(place.url(client))
    assert "an app on this device (cursor:)" in page.text
    response = await visitor.sign_in(await visitor.approve(page))
    assert response.status_code == 200
    assert web.refresh(response).startswith("cursor://anysphere.cursor-mcp/oauth/callback?code=")


async def test_submitting_twice_is_harmless(place: Place, visitor: Visitor, web: type[Web]) -> None:
    page = await visitor.get(place.url())
    await visitor.approve(page)
    sign_in = await visitor.approve(page)
    first, second = await visitor.sign_in(sign_in), await visitor.sign_in(sign_in)
    assert web.answer(first) == web.answer(second)
    assert (await place.redeem(web.answer(second)["code"])).status_code == 200


async def test_one_consent_gives_one_code_however_often_it_is_sent(
    place: Place, visitor: Visitor, web: type[Web], clock: Clock
) -> None:
    await approved(place, visitor)
    page = await visitor.get(place.url())
    raced = await asyncio.gather(*(visitor.approve(page) for _ in range(5)))
    codes = {web.answer(response)["code"] for response in raced}
    assert len(codes) == 1
    assert (await place.redeem(codes.pop())).status_code == 200
    again = await visitor.approve(page)
    assert again.status_code == 400
    assert "This approval was used already" in again.text
    assert len([entry async for entry in place.ctx.store.list("grant")]) == 2  # of `approved`, and this one
    another = await visitor.get(web.links(again)[1])
    assert web.answer(await visitor.approve(another))["code"] not in codes


async def test_a_consent_whose_code_nobody_redeemed_says_so_later(
    place: Place, visitor: Visitor, web: type[Web], clock: Clock
) -> None:
    await approved(place, visitor)
    page = await visitor.get(place.url())
    assert "code" in web.answer(await visitor.approve(page))
    clock.advance(61)
    assert "This approval was used already" in (await visitor.approve(page)).text


async def test_two_tabs_do_not_disturb_each_other(place: Place, visitor: Visitor, web: type[Web]) -> None:
    one, two = await visitor.get(place.url(state="one")), await visitor.get(place.url(state="two"))
    sign_in_one, sign_in_two = await visitor.approve(one), await visitor.approve(two)
    assert web.answer(await visitor.sign_in(sign_in_two))["state"] == "two"
    assert web.answer(await visitor.sign_in(sign_in_one))["state"] == "one"


async def test_denying_in_one_tab_leaves_the_other(place: Place, visitor: Visitor, web: type[Web]) -> None:
    one, two = await visitor.get(place.url(state="one")), await visitor.get(place.url(state="two"))
    await visitor.submit(one, decision="deny")
    assert "code" in web.answer(await visitor.sign_in(await visitor.approve(two)))


async def test_a_page_that_lay_open_too_long_offers_to_load_it_again(
    place: Place, visitor: Visitor, clock: Clock, web: type[Web]
) -> None:
    page = await visitor.get(place.url())
    clock.advance(3700)
    late = await visitor.approve(page)
    assert late.status_code == 400
    again = await visitor.get(web.links(late)[1])
    assert "code" in web.answer(await visitor.sign_in(await visitor.approve(again)))


async def test_a_sign_in_that_took_too_long_has_to_start_again(
    place: Place, visitor: Visitor, clock: Clock
) -> None:
    sign_in = await visitor.approve(await visitor.get(place.url()))
    clock.advance(601)
    late = await visitor.sign_in(sign_in)
    assert late.status_code == 400
    for words in ("This sign-in has expired", "Test client", "connect again from there"):
        assert words in late.text


async def test_a_client_removed_while_the_page_was_open_gets_nothing(place: Place, visitor: Visitor) -> None:
    page = await visitor.get(place.url())
    await place.ctx.clients.delete(place.client.client_id)
    response = await visitor.approve(page)
    assert response.status_code == 400
    assert "location" not in response.headers


@pytest.mark.parametrize("prompt", ["login", "select_account"])
async def test_prompt_login_and_select_account_ignore_the_session(
    place: Place, visitor: Visitor, prompt: str
) -> None:
    await approved(place, visitor)
    page = await visitor.approve(await visitor.get(place.url(prompt=prompt)))
    assert "Password" in page.text


async def test_prompt_none_is_answered_without_a_page(place: Place, visitor: Visitor, web: type[Web]) -> None:
    place.client = await place.preregister(web.WEB)
    assert web.answer(await visitor.get(place.url(prompt="none")))["error"] == "login_required"
    await approved(place, visitor)
    told = web.answer(await visitor.get(place.url(prompt="none")))
    assert told["error"] == "consent_required"
    assert told["iss"] == place.issuer


async def test_another_account_can_be_chosen(place: Place, visitor: Visitor) -> None:
    await approved(place, visitor)
    page = await visitor.get(place.url())
    assert "Approve with another account" in page.text
    assert "Password" in (await visitor.submit(page, decision="switch")).text


async def test_a_vouched_client_is_told_from_one_that_named_itself(place: Place, visitor: Visitor) -> None:
    client = await place.preregister("https://house.example/callback")
    page = await visitor.get(place.url(client))
    assert "Entered by the operator" in page.text
    assert "unverified" not in page.text


async def test_decisions_are_in_the_audit_log_without_secrets(
    place: Place, visitor: Visitor, web: type[Web]
) -> None:
    code = web.answer(await approved(place, visitor))["code"]
    consent = place.events("consent")[-1]
    assert (consent["outcome"], consent["client"]) == ("approved", place.client.client_id)
    issued = place.events("authorize")[-1]
    assert (issued["outcome"], issued["user"], issued["resource"]) == ("issued", "local:ada", place.time)
    assert code not in str(place.events("authorize"))
