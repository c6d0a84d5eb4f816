"""A page is opened by a browser that goes to it and answered from itself, never by a script or a frame."""

from __future__ import annotations

import pytest

from .support import Place, Visitor, Web

PAGES = ["/authorize", "/login?flow=x", "/callback?state=x", "/account", "/device"]
FORMS = ["/consent", "/login", "/account", "/device"]


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize(
    "sent",
    [
        {"Sec-Fetch-Mode": "cors"}, {"Sec-Fetch-Mode": "no-cors"}, {"Sec-Fetch-Mode": "same-origin"},
        {"Sec-Fetch-Dest": "empty"}, {"Sec-Fetch-Dest": "iframe"}, {"Sec-Fetch-Dest": "image"},
        {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
        {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "embed"},
    ],
    ids=str,
)  # fmt: skip
async def test_a_script_or_frame_of_the_same_origin_gets_no_page(
    place: Place, visitor: Visitor, path: str, sent: dict[str, str]
) -> None:
    url = place.url() if path == "/authorize" else path
    response = await visitor.http.get(url, headers=sent)
    assert response.status_code == 403
    assert "ticket" not in response.text
    assert "set-cookie" not in response.headers


@pytest.mark.parametrize(
    "sent",
    [
        {}, {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
        {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-User": "?1"},
    ],
    ids=str,
)  # fmt: skip
async def test_a_browser_that_goes_there_gets_it_whoever_opened_the_window(
    place: Place, visitor: Visitor, sent: dict[str, str]
) -> None:
    page = await visitor.http.get(place.url(), headers=sent)
    assert (page.status_code, "ticket" in page.text) == (200, True)


@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize(
    "origin", [None, "null", "http://localhost:8081", "http://evil.example", "https://localhost:8080"]
)
async def test_every_answer_has_to_come_from_the_issuer(place: Place, path: str, origin: str | None) -> None:
    """Whether or not the browser sends Fetch Metadata, which it does not on plain http beyond loopback."""
    visitor = await place.visitor()
    visitor.http.event_hooks = {}
    headers = {} if origin is None else {"Origin": origin}
    response = await visitor.http.post(path, data={"decision": "approve"}, headers=headers)
    assert response.status_code == 403
    assert "nothing was done" in response.text


async def test_a_consent_from_a_script_is_refused_although_cookie_and_origin_are_right(
    place: Place, visitor: Visitor, web: type[Web]
) -> None:
    """What the page of a server could do in the one-host shape, where it shares the origin."""
    form = web.forms(await visitor.get(place.url()))[0]
    given = form.values | {"decision": "approve"}
    script = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty", "Sec-Fetch-Site": "same-origin"}
    assert (await visitor.http.post("/consent", data=given, headers=script)).status_code == 403
    person = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "same-origin"}
    assert (await visitor.http.post("/consent", data=given, headers=person)).status_code == 303


async def test_what_is_refused_is_in_the_audit_log_with_what_was_sent(place: Place, visitor: Visitor) -> None:
    await visitor.http.get(place.url(), headers={"Sec-Fetch-Dest": "iframe"})
    await visitor.http.post("/consent", headers={"Origin": "http://evil.example"})
    framed, forged = place.events("authorize")[-2:]
    assert (framed["outcome"], framed["detail"]) == ("refused", "sec-fetch-dest: iframe")
    assert (forged["outcome"], forged["detail"]) == ("refused", "origin: http://evil.example")
