"""A host with many servers opens all its sign-ins at once: each page stays answerable, in any order."""

from __future__ import annotations

import asyncio

import pytest
from mcp_oauth_dynamicclient.authorize.ticket import MOST

from ..support import Clock
from .support import Place, Visitor, Web


def page_cookies(visitor: Visitor) -> list[str]:
    return sorted(name for name in visitor.http.cookies if name.startswith("mcp-page-"))


@pytest.mark.parametrize("servers", [3, 8])
async def test_pages_opened_together_in_a_fresh_browser_are_all_answerable(
    place: Place, visitor: Visitor, web: type[Web], servers: int
) -> None:
    clients = [await place.register(web.WEB, name=f"Server {number}") for number in range(servers)]
    opened = [await asyncio.gather(*(visitor.get(place.url(one)) for one in clients)) for _ in range(2)]
    first, second = opened
    signed_in = await visitor.sign_in(await visitor.approve(first[-1]))
    assert "code" in web.answer(signed_in)
    answers = [web.answer(await visitor.approve(page)) for page in (*first[:-1], *second)]
    assert all("code" in answer for answer in answers)
    assert len({answer["code"] for answer in answers}) == 2 * servers - 1


async def test_sign_ins_begun_together_are_all_finished_in_any_order(
    place: Place, visitor: Visitor, web: type[Web]
) -> None:
    opened = await asyncio.gather(*(visitor.get(place.url(state=str(number))) for number in range(3)))
    begun = [await visitor.approve(page) for page in opened]
    for number in (1, 2, 0):
        told = web.answer(await visitor.sign_in(begun[number]))
        assert ("code" in told, told["state"]) == (True, str(number))


async def test_a_browser_keeps_sixteen_pages_and_the_oldest_makes_room(
    place: Place, visitor: Visitor, clock: Clock
) -> None:
    pages = []
    for _ in range(MOST + 4):
        pages.append(await visitor.get(place.url()))
        clock.advance(1)
    assert len(page_cookies(visitor)) == MOST == 16
    assert "did not send our cookie" in (await visitor.approve(pages[3])).text
    for page in (pages[4], pages[-1]):
        assert "Password" in (await visitor.approve(page)).text


async def test_a_browser_keeps_sixteen_sign_ins_and_the_oldest_makes_room(
    place: Place, visitor: Visitor, clock: Clock, web: type[Web]
) -> None:
    begun = []
    for _ in range(MOST + 2):
        begun.append(await visitor.approve(await visitor.get(place.url())))
        clock.advance(1)
    assert len([name for name in visitor.http.cookies if name.startswith("mcp-sign-in-")]) == MOST
    assert "did not send our cookie" in (await visitor.sign_in(begun[1])).text
    assert "code" in web.answer(await visitor.sign_in(begun[2]))


async def test_a_page_has_its_cookie_for_an_hour(place: Place, visitor: Visitor) -> None:
    page = await visitor.get(place.url())
    [cookie] = page.headers.get_list("set-cookie")
    assert "Max-Age=3600" in cookie


async def test_cookies_of_other_pages_are_no_key_to_this_one(place: Place, visitor: Visitor) -> None:
    mine, other = await visitor.get(place.url()), await visitor.get(place.url())
    first, second = page_cookies(visitor)
    secret = visitor.http.cookies[second]
    visitor.http.cookies.clear()
    visitor.http.cookies.set(first, secret, domain="localhost", path="/")
    for page in (mine, other):
        assert "did not send our cookie" in (await visitor.approve(page)).text


async def test_device_and_account_pages_stay_answerable_beside_each_other(
    place: Place, visitor: Visitor, web: type[Web]
) -> None:
    consent = await visitor.get(place.url())
    account = await visitor.sign_in(await visitor.get("/account"))
    for _ in range(3):
        await visitor.get("/account")
    assert "code" in web.answer(await visitor.approve(consent))
    page = await visitor.submit(account, action="sign_out")
    assert "Signed out" in page.text
