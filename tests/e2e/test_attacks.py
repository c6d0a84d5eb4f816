"""Attacks on the running gateway: by a page that frames, opens and posts to ours, and by a token thief."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from playwright.async_api import Page

from tests.access import Access
from tests.conftest import Callback, Gateway, Person
from tests.e2e.test_gate import HEADERS
from tests.messages import INITIALIZE

Obtain = Callable[[str], Awaitable[Access]]
EVIL = """async ({authorize, issuer}) => {
    const loaded = frame => new Promise(done => { frame.onload = done; frame.onerror = done; });
    const framed = [];
    for (const url of [authorize, issuer + '/account', issuer + '/device', issuer + '/']) {
        const frame = document.createElement('iframe');
        frame.src = url;
        document.body.append(frame);
        await loaded(frame);
        try { framed.push(frame.contentDocument.body.innerText); } catch { framed.push('unreadable'); }
    }
    const fetched = [];
    for (const credentials of ['include', 'omit']) {
        try { fetched.push(await (await fetch(authorize, {credentials})).text()); }
        catch { fetched.push(''); }
    }
    const opened = window.open(authorize, 'popup');
    return [framed, fetched, opened !== null];
}"""
POST = """([url, fields, target]) => {
    const form = document.createElement('form');
    Object.assign(form, {method: 'post', action: url, target});
    for (const [name, value] of Object.entries(fields)) {
        const input = document.createElement('input');
        Object.assign(input, {name, value});
        form.append(input);
    }
    document.body.append(form);
    form.submit();
}"""


async def authorization(gateway: Gateway, callback: Callback, http: httpx.AsyncClient) -> str:
    """The URL with which a client of the attacker's would be approved."""
    client = {
        "client_name": "Evil",
        "redirect_uris": [callback.uri],
        "token_endpoint_auth_method": "none",
    }
    registered = await http.post(f"{gateway.issuer}/register", json=client)
    query = {
        "response_type": "code",
        "client_id": registered.json()["client_id"],
        "redirect_uri": callback.uri,
        "code_challenge": "x" * 43,
        "code_challenge_method": "S256",
        "resource": gateway.server("time"),
    }
    return f"{gateway.issuer}/authorize?{urlencode(query)}"


async def evil_page(person: Person, origin: str) -> Page:
    """A page of the attacker's in the browser of somebody who is signed in."""
    await person.page.goto(f"{person.gateway.issuer}/account")
    await person.sign_in_if_asked()
    await person.page.get_by_text("Your account").first.wait_for()
    context = person.page.context
    await context.route(
        f"{origin}/**", lambda route: route.fulfill(content_type="text/html", body="<body>evil")
    )
    page = await context.new_page()
    await page.goto(f"{origin}/")
    return page


@pytest.mark.browser
@pytest.mark.parametrize("origin", ["http://127.0.0.1:9", "http://localhost:9"], ids=["another", "same site"])
async def test_an_evil_page_that_frames_opens_and_posts_gets_no_consent(
    person: Person, callback: Callback, http: httpx.AsyncClient, origin: str
) -> None:
    """`localhost:9` is the same site as a local run, whose cookies a browser sends along."""
    gateway = person.gateway
    authorize = await authorization(gateway, callback, http)
    page = await evil_page(person, origin)
    async with page.expect_popup() as opening:
        framed, fetched, opened = await page.evaluate(
            EVIL, {"authorize": authorize, "issuer": gateway.issuer}
        )
    assert set(framed) == {"unreadable"}
    assert fetched == ["", ""]
    for frame in page.frames[1:]:
        assert "ticket" not in await frame.content()

    assert opened
    popup = await opening.value
    button = popup.get_by_role("button", name="Approve", exact=True)
    await button.wait_for()
    reach = "async () => { try { return window.open('', 'popup').document.title; } catch { return 'no'; } }"
    assert await page.evaluate(reach) == "no"

    ticket = await popup.locator("input[name=ticket]").input_value()
    fields: dict[str, Any] = {"ticket": ticket, "decision": "approve"}
    async with page.expect_popup() as posting:
        await page.evaluate(POST, [f"{gateway.issuer}/consent", fields, "_blank"])
    answer = await posting.value
    await answer.wait_for_load_state()
    assert "Password" not in await answer.content()
    assert answer.url.startswith(f"{gateway.issuer}/consent")
    assert not callback.called

    await button.click()
    await Person(popup, gateway).sign_in_if_asked()
    assert "code" in await callback.answer(), "the person's own click is worth what it was before"


@pytest.mark.browser
async def test_a_stolen_refresh_token_ends_the_family_at_the_running_gateway(
    gateway: Gateway, obtain: Obtain, http: httpx.AsyncClient
) -> None:
    access = await obtain(gateway.server("time"))

    async def refresh(token: str) -> httpx.Response:
        form = {"grant_type": "refresh_token", "client_id": access.client_id, "refresh_token": token}
        return await http.post(access.token_endpoint, data=form)

    async def opens(token: str) -> bool:
        headers = {**HEADERS, "Authorization": f"Bearer {token}"}
        return (await http.post(access.resource, json=INITIALIZE, headers=headers)).status_code == 200

    stolen = access.tokens["refresh_token"]
    first = (await refresh(stolen)).json()
    thief = (await refresh(stolen)).json()
    assert thief["refresh_token"] == first["refresh_token"], "one chain, not two"
    second = (await refresh(first["refresh_token"])).json()
    assert await opens(second["access_token"])
    assert (await refresh(stolen)).json()["error"] == "invalid_grant"
    assert (await refresh(second["refresh_token"])).json()["error"] == "invalid_grant"
    for tokens in (access.tokens, first, thief, second):
        assert not await opens(tokens["access_token"])
