"""/device: entering a code, deciding, and what the device gets (RFC 8628)."""

from __future__ import annotations

from typing import Any

import pytest

from ..support import Clock
from .support import Place, Visitor, Web

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"


async def start(place: Place, **given: str) -> tuple[Any, dict[str, Any]]:
    client = await place.register(
        name="Terminal tool", grant_types=[DEVICE_CODE, "refresh_token"], response_types=[]
    )
    http = (await place.visitor()).http
    data = {"client_id": client.client_id, "resource": place.time} | given
    response = await http.post("/device_authorization", data=data)
    assert response.status_code == 200, response.text
    return client, response.json()


async def poll(place: Place, client: Any, started: dict[str, Any]) -> Any:
    http = (await place.visitor()).http
    given = {"grant_type": DEVICE_CODE, "device_code": started["device_code"], "client_id": client.client_id}
    return (await http.post("/token", data=given)).json()


async def test_code_consent_sign_in_and_the_device_is_connected(place: Place, visitor: Visitor) -> None:
    client, started = await start(place)
    page = await visitor.submit(await visitor.get("/device"), user_code=started["user_code"], decision="find")
    for words in ("Terminal tool", place.time, started["user_code"], "unverified", "Check that your device"):
        assert words in page.text
    done = await visitor.sign_in(await visitor.approve(page))
    assert "Device connected" in done.text
    answer = await poll(place, client, started)
    assert await place.verify(answer["access_token"]) == 200


async def test_a_code_in_the_link_is_filled_in_but_still_confirmed(
    place: Place, visitor: Visitor, web: type[Web]
) -> None:
    client, started = await start(place)
    page = await visitor.get(started["verification_uri_complete"])
    assert web.forms(page)[0].values["user_code"] == started["user_code"]
    assert (await poll(place, client, started))["error"] == "authorization_pending"


async def test_case_and_dashes_do_not_matter(place: Place, visitor: Visitor) -> None:
    _, started = await start(place)
    typed = started["user_code"].lower().replace("-", " ")
    page = await visitor.submit(await visitor.get("/device"), user_code=typed, decision="find")
    assert "Approve" in page.text


async def test_deny_reaches_the_device(place: Place, visitor: Visitor) -> None:
    client, started = await start(place)
    page = await visitor.submit(await visitor.get("/device"), user_code=started["user_code"], decision="find")
    assert "Not approved" in (await visitor.submit(page, decision="deny")).text
    assert (await poll(place, client, started))["error"] == "access_denied"


async def test_an_unknown_and_an_expired_code_say_so(place: Place, visitor: Visitor, clock: Clock) -> None:
    page = await visitor.submit(await visitor.get("/device"), user_code="BBBB-BBBB", decision="find")
    assert page.status_code == 404
    assert "no such code" in page.text
    _, started = await start(place)
    clock.advance(601)
    page = await visitor.submit(await visitor.get("/device"), user_code=started["user_code"], decision="find")
    assert page.status_code == 404


async def test_approving_twice_says_the_code_is_used(place: Place, visitor: Visitor) -> None:
    client, started = await start(place)
    page = await visitor.submit(await visitor.get("/device"), user_code=started["user_code"], decision="find")
    await visitor.sign_in(await visitor.approve(page))
    again = await visitor.approve(page)
    assert "close this window" in again.text
    assert "access_token" in await poll(place, client, started)


async def test_a_forged_device_approval_is_refused(place: Place, visitor: Visitor, web: type[Web]) -> None:
    """Remote phishing: the attacker's own page, answered by the victim's signed-in browser."""
    client, started = await start(place)
    await visitor.sign_in(await visitor.get("/account"))
    attacker = await place.visitor()
    page = await attacker.submit(
        await attacker.get("/device"), user_code=started["user_code"], decision="find"
    )
    ticket = web.forms(page)[0].values["ticket"]
    response = await visitor.http.post("/device", data={"ticket": ticket, "decision": "approve"})
    assert response.status_code == 400
    assert (await poll(place, client, started))["error"] == "authorization_pending"


async def test_guessing_codes_is_limited(
    place: Place, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mcp_oauth_dynamicclient.endpoints import device_page

    monkeypatch.setattr(device_page, "CODES_PER_HOUR", 3)
    page = await visitor.get("/device")
    statuses = [
        (await visitor.submit(page, user_code="BBBB-BBBB", decision="find")).status_code for _ in range(4)
    ]
    assert statuses == [404, 404, 404, 429]
