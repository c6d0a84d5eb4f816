"""One test for each known attack on the sign-in of an MCP gateway, named for it."""

from __future__ import annotations

import html
from typing import Any

import httpx
import pytest

from ..support import Clock
from .support import GitHub, OpenPlace, Place, Visitor, Web

EVIL = "https://evil.example/callback"


async def test_confused_deputy_a_remembered_github_session_gives_nothing_without_consent_here(
    github_place: Place, github: GitHub
) -> None:
    """GitHub would answer at once; but the link alone leads to our page, and GitHub is not even asked."""
    attacker = await github_place.register(EVIL, name="Claude")
    victim = await github_place.visitor()
    page = await victim.get(github_place.url(attacker))
    assert page.status_code == 200
    assert "evil.example" in page.text
    assert "unverified" in page.text
    assert github.asked == []


async def test_confused_deputy_a_state_approved_in_the_attackers_browser_is_no_use_in_the_victims(
    github_place: Place, github: GitHub, web: type[Web]
) -> None:
    """The attacker approves, stops before GitHub and sends the victim there; the victim comes back here."""
    attacker = await github_place.visitor()
    client = await github_place.register(EVIL)
    page = await attacker.get(github_place.url(client))
    form = web.forms(page)[0]
    chosen = await attacker.http.post(form.action, data=form.values | {"decision": "approve"})
    sign_in = await attacker.http.get(chosen.headers["location"])
    to_github = (await attacker.http.get(web.refresh(sign_in))).headers["location"]

    victim = await github_place.visitor()
    response = await victim.get(to_github)
    assert response.status_code == 400
    assert "did not send our cookie" in response.text
    assert [entry async for entry in github_place.ctx.store.list("code")] == []


async def test_consent_forgery_a_form_posted_from_elsewhere_is_refused(
    place: Place, visitor: Visitor, web: type[Web]
) -> None:
    """A ticket of the attacker's own browser, in the victim's: the cookie does not fit."""
    attacker = await place.visitor()
    stolen = web.forms(await attacker.get(place.url()))[0].values["ticket"]
    await visitor.get(place.url())
    response = await visitor.http.post("/consent", data={"ticket": stolen, "decision": "approve"})
    assert response.status_code == 400
    assert "did not send our cookie" in response.text


@pytest.mark.parametrize("ticket", ["", "x", "gAAAAAB" + "A" * 100])
async def test_consent_forgery_a_made_up_ticket_is_refused(
    place: Place, visitor: Visitor, ticket: str
) -> None:
    await visitor.get(place.url())
    response = await visitor.http.post("/consent", data={"ticket": ticket, "decision": "approve"})
    assert response.status_code == 400


async def test_a_ticket_of_another_page_is_no_consent(place: Place, visitor: Visitor, web: type[Web]) -> None:
    await visitor.sign_in(await visitor.get("/account"))
    ticket = web.forms(await visitor.get("/account"))[0].values["ticket"]
    response = await visitor.http.post("/consent", data={"ticket": ticket, "decision": "approve"})
    assert response.status_code == 400


async def test_authorization_server_in_the_middle_riding_a_remembered_consent_meets_the_page_again(
    place: Place, visitor: Visitor
) -> None:
    """Client identifiers of metadata documents are the same everywhere, so approval once is not approval."""
    await visitor.sign_in(await visitor.approve(await visitor.get(place.url())))
    for headers in ({}, {"Sec-Fetch-Site": "none"}, {"Sec-Fetch-Site": "cross-site"}):
        response = await visitor.http.get(place.url(), headers=headers)
        assert response.status_code == 200
        assert "Approve" in response.text


async def test_mix_up_success_and_error_both_name_the_issuer(
    place: Place, visitor: Visitor, web: type[Web]
) -> None:
    page = await visitor.get(place.url())
    assert web.answer(await visitor.submit(page, decision="deny"))["iss"] == place.issuer
    assert web.answer(await visitor.sign_in(await visitor.approve(page)))["iss"] == place.issuer
    known = await place.preregister(web.WEB)
    assert web.answer(await visitor.http.get(place.url(known, scope='"')))["iss"] == place.issuer


async def test_consent_cookie_lost_says_what_to_do_and_starting_again_works(
    place: Place, visitor: Visitor, web: type[Web]
) -> None:
    page = await visitor.get(place.url())
    visitor.http.cookies.clear()
    response = await visitor.approve(page)
    assert response.status_code == 400
    assert "Allow cookies for localhost:8080" in response.text
    again = await visitor.get(web.links(response)[1])
    assert "code" in web.answer(await visitor.sign_in(await visitor.approve(again)))


async def test_sign_in_cookie_lost_before_the_password_is_asked(
    place: Place, visitor: Visitor, web: type[Web]
) -> None:
    sign_in = await visitor.approve(await visitor.get(place.url()))
    visitor.http.cookies.clear()
    response = await visitor.sign_in(sign_in)
    assert response.status_code == 400
    assert "did not send our cookie" in response.text
    assert [entry async for entry in place.ctx.store.list("session")] == []


async def test_double_get_of_the_consent_page_changes_nothing(
    place: Place, visitor: Visitor, web: type[Web]
) -> None:
    first = await visitor.get(place.url())
    await visitor.get(place.url())
    assert "code" in web.answer(await visitor.sign_in(await visitor.approve(first)))


async def test_double_get_of_the_callback_uses_the_state_once(
    github_place: Place, github: GitHub, web: type[Web]
) -> None:
    visitor = await github_place.visitor()
    seen: list[str] = []
    visitor.http.event_hooks["request"].append(_note(seen))
    response = await visitor.approve(await visitor.get(github_place.url()))
    assert "code" in web.answer(response)
    callback = next(url for url in seen if "/callback" in url)
    again = await visitor.http.get(callback)
    assert again.status_code == 400
    assert "close this window" in again.text
    assert github.requests.count("POST /login/oauth/access_token") == 1


def _note(seen: list[str]) -> Any:
    async def note(request: httpx.Request) -> None:
        seen.append(str(request.url))

    return note


async def test_state_replay_in_another_browser_gives_nothing(github_place: Place, web: type[Web]) -> None:
    visitor, thief = await github_place.visitor(), await github_place.visitor()
    seen: list[str] = []
    visitor.http.event_hooks["request"].append(_note(seen))
    await visitor.approve(await visitor.get(github_place.url()))
    response = await thief.http.get(next(url for url in seen if "/callback" in url))
    assert response.status_code == 400
    assert "location" not in response.headers


@pytest.mark.parametrize("state", ["", "guess", "flow:guess"])
async def test_an_unknown_state_is_a_page(github_place: Place, state: str) -> None:
    visitor = await github_place.visitor()
    for path in ("/callback", "/callback/github"):
        response = await visitor.http.get(path, params={"code": "x", "state": state})
        assert response.status_code == 400
        assert response.headers["content-type"].startswith("text/html")


async def test_a_state_is_forgotten_after_ten_minutes(
    github_place: Place, github: GitHub, clock: Clock, web: type[Web]
) -> None:
    visitor = await github_place.visitor()
    form = web.forms(await visitor.get(github_place.url()))[0]
    chosen = await visitor.http.post(form.action, data=form.values | {"decision": "approve"})
    sign_in = await visitor.http.get(chosen.headers["location"])
    to_github = (await visitor.http.get(web.refresh(sign_in))).headers["location"]
    back = (await visitor.http.get(to_github)).headers["location"]
    clock.advance(601)
    assert (await visitor.http.get(back)).status_code == 400
    assert "POST /login/oauth/access_token" not in github.requests


async def test_open_redirect_an_unregistered_address_is_never_followed(
    place: Place, visitor: Visitor
) -> None:
    for uri in (
        EVIL,
        "https://client.example.evil.example/callback",
        "https://client.example@evil.example/callback",
        "https://evil.example/?https://client.example/callback",
        "//evil.example/callback",
        "https://client.example/callback/../evil",
        "https:\\\\evil.example",
        "http://localhost.evil.example/callback",
    ):
        for change in ({}, {"response_type": "token"}, {"prompt": "none"}):
            response = await visitor.http.get(place.url(redirect_uri=uri, **change))
            assert response.status_code == 400, uri
            assert "location" not in response.headers
            assert "refresh" not in response.headers


@pytest.mark.parametrize("change", [{"scope": '"'}, {"prompt": "none"}, {"response_type": "token"}])
async def test_open_redirect_nobody_is_led_to_a_page_by_a_request_that_is_wrong_on_purpose(
    place: Place, visitor: Visitor, web: type[Web], change: dict[str, str]
) -> None:
    """RFC 9700 section 4.11.2: whoever registers here could let the gateway's address lead anywhere."""
    stranger = await place.register("https://evil.example/sign-in", name="Your bank")
    response = await visitor.http.get(place.url(stranger, **change))
    assert response.status_code == 400
    assert "location" not in response.headers
    assert "refresh" not in response.headers
    assert "at evil.example" in response.text
    (there,) = [link for link in web.links(response) if link.startswith("https://evil.example/")]
    told = web.query(there)
    assert told["iss"] == [place.issuer]
    assert told["state"] == ["the client's state"]
    # At once to a program on the person's own computer, to whom the operator knows, to what is used here.
    await visitor.sign_in(await visitor.approve(await visitor.get(place.url())))
    known = await place.preregister(web.WEB)
    for client in (await place.register(web.LOOPBACK), known, place.client):
        answer = await visitor.http.get(place.url(client, **change))
        assert answer.status_code == 303
        assert web.answer(answer)["error"]


@pytest.mark.parametrize(
    "uri",
    ["javascript:alert(1)//", "data:text/html,<script>alert(1)</script>", "vbscript:x", "file:///etc/passwd"],
)
async def test_script_schemes_are_refused_even_if_a_registration_holds_them(
    place: Place, visitor: Visitor, uri: str
) -> None:
    from mcp_oauth_dynamicclient.records import Client

    planted = Client(
        client_id="planted",
        source="dynamic",
        metadata={
            "client_name": "Planted",
            "redirect_uris": [uri],
            "grant_types": ["authorization_code"],
            "token_endpoint_auth_method": "none",
        },
    )
    await place.ctx.store.put("client", "planted", planted.model_dump())
    response = await visitor.http.get(place.url(planted, redirect_uri=uri))
    assert response.status_code == 400
    assert "location" not in response.headers
    assert "refresh" not in response.headers
    assert "Approve" not in response.text


async def test_localhost_impersonation_is_warned_about_whatever_the_name(
    place: Place, visitor: Visitor
) -> None:
    for uri in (
        "http://localhost:3118/callback",
        "http://127.0.0.1:3118/callback",
        "http://[::1]:3118/callback",
    ):
        client = await place.register(uri, name="Claude Code")
        page = await visitor.get(place.url(client))
        assert "Any program running on this computer" in page.text
        assert "unverified" in page.text


INJECTION = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{7*6006}}"


async def test_xss_in_the_clients_name(place: Place, visitor: Visitor) -> None:
    client = await place.register("https://client.example/callback", name=INJECTION)
    page = await visitor.get(place.url(client))
    _is_harmless(page)
    _is_harmless(await visitor.approve(page))
    _is_harmless(await visitor.submit(page, decision="deny"))


async def test_xss_in_every_parameter_of_the_request(place: Place, visitor: Visitor) -> None:
    for name in (
        "client_id",
        "redirect_uri",
        "state",
        "scope",
        "resource",
        "prompt",
        "response_type",
        "code_challenge",
    ):
        _is_harmless(await visitor.http.get(place.url(**{name: INJECTION})))


async def test_xss_in_what_comes_back_from_the_provider(github_place: Place) -> None:
    visitor = await github_place.visitor()
    for name in ("state", "error", "error_description", "error_uri", "code"):
        _is_harmless(await visitor.http.get("/callback/github", params={"state": "x", name: INJECTION}))


async def test_xss_in_user_code_account_name_and_server_name(place: Place, visitor: Visitor) -> None:
    _is_harmless(await visitor.http.get("/device", params={"user_code": INJECTION[:24]}))
    page = await visitor.get("/device")
    _is_harmless(await visitor.submit(page, user_code=INJECTION, decision="find"))
    _is_harmless(await visitor.sign_in(await visitor.get("/account"), name=INJECTION))
    _is_harmless(await visitor.http.get("/account", params={"done": INJECTION}))


def _is_harmless(response: httpx.Response) -> None:
    text = response.text
    for piece in ("<script", "<img", "onerror=alert(1)>", "42042"):
        assert piece not in text.replace(html.escape(INJECTION), ""), piece
    if response.headers.get("content-type", "").startswith("text/html"):
        policy = response.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src" not in policy
        assert "unsafe" not in policy


async def test_clickjacking_no_page_can_be_framed(place: Place, visitor: Visitor) -> None:
    for path in (place.url(), "/", "/device", "/account", "/login?flow=x", "/callback?state=x"):
        response = await visitor.get(path)
        assert "frame-ancestors 'none'" in response.headers["content-security-policy"], path
        assert response.headers["x-frame-options"] == "DENY"
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["referrer-policy"] == "same-origin"


async def test_session_fixation_signing_in_makes_a_new_session(place: Place, visitor: Visitor) -> None:
    visitor.http.cookies.set("mcp-session", "chosen-by-the-attacker", domain="localhost", path="/")
    await visitor.sign_in(await visitor.approve(await visitor.get(place.url())))
    thief = await place.visitor()
    thief.http.cookies.set("mcp-session", "chosen-by-the-attacker", domain="localhost", path="/")
    assert "Sign in" in (await thief.get("/account")).text


async def test_login_forgery_a_password_form_of_another_browser_signs_nobody_in(
    place: Place, visitor: Visitor, web: type[Web]
) -> None:
    attacker = await place.visitor()
    form = web.forms(await attacker.get("/account"))[0]
    response = await visitor.http.post(
        "/login", data=form.values | {"username": "ada", "password": web.PASSWORD}
    )
    assert response.status_code == 400
    assert "mcp-session" not in visitor.http.cookies


async def test_cookies_are_host_bound_httponly_and_lax_on_https(
    open_place: OpenPlace, web: type[Web]
) -> None:
    place = await open_place(base_domain="example.com")
    visitor = await place.visitor()
    page = await visitor.get(place.url(resource="https://time.example.com/mcp"))
    sign_in = await visitor.approve(page)
    done = await visitor.sign_in(sign_in)
    assert "code" in web.answer(done)
    cookies = [*page.headers.get_list("set-cookie"), *done.headers.get_list("set-cookie")]
    assert cookies
    for cookie in cookies:
        assert cookie.startswith("__Host-mcp-")
        for attribute in ("Secure", "HttpOnly", "SameSite=lax", "Path=/"):
            assert attribute in cookie, cookie
        assert "Domain" not in cookie


async def test_the_sign_in_cookie_is_set_only_after_approval_and_names_the_client(
    place: Place, visitor: Visitor, web: type[Web]
) -> None:
    page = await visitor.get(place.url())
    assert not [name for name in visitor.http.cookies if "sign-in" in name]
    await visitor.submit(page, decision="deny")
    assert not [name for name in visitor.http.cookies if "sign-in" in name]
    sign_in = await visitor.approve(page)
    name = next(name for name in visitor.http.cookies if "sign-in" in name)
    other = await place.visitor()
    flow = web.forms(sign_in)[0].values["flow"]
    other.http.cookies.set(name, visitor.http.cookies[name][:-2] + "xx", domain="localhost", path="/")
    assert (await other.http.get("/login", params={"flow": flow})).status_code == 400


async def sign_ins_kept(place: Place) -> int:
    return len([entry async for entry in place.ctx.store.list("login")])


async def test_a_stranger_cannot_fill_the_store_with_sign_ins(open_place: OpenPlace) -> None:
    place = await open_place(registrations_per_hour=1)
    stranger = await place.visitor()
    statuses = [(await stranger.http.get("/account")).status_code for _ in range(20)]
    assert statuses == [303] * 5 + [429] * 15
    page = await stranger.get(place.url())
    assert (await stranger.approve(page)).status_code == 429
    assert await sign_ins_kept(place) == 5


async def test_nor_by_going_to_the_provider_again_and_again(
    open_place: OpenPlace, github_settings: dict[str, object]
) -> None:
    place = await open_place(**github_settings, registrations_per_hour=1)
    stranger = await place.visitor()
    begun = await stranger.http.get("/account")
    departure = begun.headers["location"].replace("/login?", "/login/github?")
    statuses = [(await stranger.http.get(departure)).status_code for _ in range(10)]
    assert statuses == [303] * 4 + [429] * 6
    assert await sign_ins_kept(place) == 5


async def test_nor_with_a_request_that_is_too_long_to_keep(place: Place, visitor: Visitor) -> None:
    page = await visitor.http.get(place.url(state="s" * 8192))
    assert page.status_code == 400
    assert "longer than 8192 characters" in page.text
    assert "location" not in page.headers
    assert (await visitor.http.get(place.url(state="s" * 6000))).status_code == 200
