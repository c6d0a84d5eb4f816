"""/account: what a person has approved, and taking it back."""

from __future__ import annotations

from typing import Any

import httpx

from ..support import Clock
from .support import GitHub, Place, Visitor, Web


async def connect(
    place: Place, visitor: Visitor, web: type[Web], client: Any = None, **changes: str | None
) -> str:
    """Approve a client; its access token."""
    page = await visitor.approve(await visitor.get(place.url(client, **changes)))
    if "Password" in page.text:
        page = await visitor.sign_in(page)
    token: str = (await place.redeem(web.answer(page)["code"], client)).json()["access_token"]
    return token


async def test_it_asks_to_sign_in_and_then_shows_what_was_approved(
    place: Place, visitor: Visitor, web: type[Web]
) -> None:
    await connect(place, visitor, web)
    other_browser = await place.visitor()
    page = await other_browser.sign_in(await other_browser.get("/account"))
    assert page.status_code == 200
    for words in ("Test client", place.time, "client.example", "ada", "last used"):
        assert words in page.text


async def test_revoking_one_stops_its_token_and_no_other(
    place: Place, visitor: Visitor, web: type[Web]
) -> None:
    other = await place.register(web.WEB, name="Other client")
    first, second = await connect(place, visitor, web), await connect(place, visitor, web, other)
    page = await visitor.get("/account")
    which = next(i for i, form in enumerate(web.forms(page)) if "Revoke Test client" in _labels(page)[i])
    done = await visitor.submit(page, which, action="revoke")
    assert "Access was revoked" in done.text
    assert "Test client" not in done.text
    assert await place.verify(first) == 401
    assert await place.verify(second) == 200


def _labels(page: httpx.Response) -> list[str]:
    return [part.partition("</form>")[0] for part in page.text.split("<form")[1:]]


async def test_revoking_all(place: Place, visitor: Visitor, web: type[Web]) -> None:
    tokens = [await connect(place, visitor, web), await connect(place, visitor, web)]
    page = await visitor.get("/account")
    done = await visitor.submit(page, len(web.forms(page)) - 1, action="revoke_all")
    assert "No client has access in your name" in done.text
    assert [await place.verify(token) for token in tokens] == [401, 401]


async def test_revoking_twice_is_harmless(place: Place, visitor: Visitor, web: type[Web]) -> None:
    await connect(place, visitor, web)
    page = await visitor.get("/account")
    for _ in range(2):
        assert (await visitor.submit(page, 1, action="revoke")).status_code == 200


async def test_nobody_revokes_for_somebody_else(place: Place, visitor: Visitor, web: type[Web]) -> None:
    from mcp_oauth_dynamicclient.login import local

    token = await connect(place, visitor, web)
    grant_id = web.forms(await visitor.get("/account"))[1].values["grant_id"]
    await local.add_account(place.ctx.store, "eve", "long enough password", now=0)
    eve = await place.visitor()
    page = await eve.sign_in(await eve.get("/account"), name="eve", password="long enough password")
    assert "Test client" not in page.text
    await eve.submit(page, grant_id=grant_id, action="revoke")
    await eve.submit(page, action="revoke_all")
    assert await place.verify(token) == 200


async def test_revoking_needs_the_form_of_this_browser(
    place: Place, visitor: Visitor, web: type[Web]
) -> None:
    """Cross-site request forgery: a ticket from elsewhere, or none."""
    from mcp_oauth_dynamicclient.login import local

    token = await connect(place, visitor, web)
    await local.add_account(place.ctx.store, "eve", "long enough password", now=0)
    eve = await place.visitor()
    foreign = web.forms(
        await eve.sign_in(await eve.get("/account"), name="eve", password="long enough password")
    )
    for ticket in ("", foreign[0].values["ticket"]):
        response = await visitor.http.post("/account", data={"ticket": ticket, "action": "revoke_all"})
        assert response.status_code == 400
    assert await place.verify(token) == 200


async def test_signing_out_ends_the_session(place: Place, visitor: Visitor, web: type[Web]) -> None:
    page = await visitor.sign_in(await visitor.get("/account"))
    stolen = visitor.http.cookies["mcp-session"]
    await visitor.submit(page, action="sign_out")
    assert "mcp-session" not in visitor.http.cookies
    visitor.http.cookies.set("mcp-session", stolen, domain="localhost", path="/")
    assert "Password" in (await visitor.get("/account")).text


async def test_a_session_ends_by_itself(place: Place, visitor: Visitor, clock: Clock) -> None:
    await visitor.sign_in(await visitor.get("/account"))
    clock.advance(12 * 3600 + 1)
    assert "Password" in (await visitor.get("/account")).text


async def test_the_session_is_stored_as_a_hash(place: Place, visitor: Visitor) -> None:
    await visitor.sign_in(await visitor.get("/account"))
    sessions = [entry async for entry in place.ctx.store.list("session")]
    assert len(sessions) == 1
    assert visitor.http.cookies["mcp-session"] not in str(sessions)


async def test_somebody_not_admitted_sees_why_and_no_account(github_place: Place, github: GitHub) -> None:
    github.user = {"login": "mallory", "id": 666, "name": None, "email": None}
    visitor = await github_place.visitor()
    page = await visitor.get("/account")
    assert page.status_code == 403
    assert "mallory is not admitted" in page.text
