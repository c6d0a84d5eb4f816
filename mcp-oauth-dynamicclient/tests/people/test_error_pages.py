"""A page that ends something names the client, says what to do, and carries a reference found in the log."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from mcp_oauth_dynamicclient.errors import StoreUnavailableError, TemporarilyUnavailableError
from mcp_oauth_dynamicclient.pages import refuse_error

from ..support import Clock
from .support import Place, Visitor, Web


def reference(page: httpx.Response) -> str:
    found = re.search(r"Reference: <code>([0-9a-f]{8})</code>", page.text)
    assert found is not None, page.text
    return found[1]


def entry(place: Place, page: httpx.Response) -> dict[str, Any]:
    """The one line of the audit log that the page refers to."""
    events = ("authorize", "consent", "login", "account", "device.page")
    [line] = [
        line for event in events for line in place.events(event) if line.get("reference") == reference(page)
    ]
    assert line["outcome"] == "refused"
    assert isinstance(line, dict)
    return line


async def test_a_sentence_in_any_script_is_shown_and_logged_as_it_is(place: Place) -> None:
    error = TemporarilyUnavailableError("Bürgerkonto 日本 cannot be reached.")
    page = refuse_error(place.ctx, "account", error)
    text = bytes(page.body).decode()
    assert error.reason in text
    [line] = place.events("account")
    assert line["reason"] == error.reason


async def test_an_unknown_client(place: Place, visitor: Visitor) -> None:
    page = await visitor.get(place.url(client_id="client_gone"))
    assert page.status_code == 400
    for words in ("not known here", "client_gone", "add it again"):
        assert words in page.text
    line = entry(place, page)
    assert (line["event"], line["client"]) == ("authorize", "client_gone")


async def test_a_redirect_that_is_not_registered(place: Place, visitor: Visitor) -> None:
    page = await visitor.get(place.url(redirect_uri="https://evil.example/"))
    for words in ("Test client", "has not registered", "add it again"):
        assert words in page.text
    line = entry(place, page)
    assert line["client"] == place.client.client_id
    assert "not registered" in line["reason"]


async def test_a_lost_cookie(place: Place, visitor: Visitor) -> None:
    page = await visitor.get(place.url())
    visitor.http.cookies.clear()
    lost = await visitor.approve(page)
    for words in ("did not send our cookie", "Test client", "Start again"):
        assert words in lost.text
    assert (entry(place, lost)["event"], entry(place, lost)["client"]) == ("consent", place.client.client_id)


async def test_a_page_that_lay_open_too_long(place: Place, visitor: Visitor, clock: Clock) -> None:
    page = await visitor.get(place.url())
    clock.advance(3601)
    late = await visitor.approve(page)
    for words in ("This page has expired", "Test client", "Start again"):
        assert words in late.text
    assert entry(place, late)["client"] == place.client.client_id


async def test_an_expired_sign_in_still_knows_its_client(
    place: Place, visitor: Visitor, clock: Clock
) -> None:
    sign_in = await visitor.approve(await visitor.get(place.url()))
    clock.advance(601)
    late = await visitor.sign_in(sign_in)
    for words in ("This sign-in has expired", "Test client", "Start again"):
        assert words in late.text
    assert (entry(place, late)["event"], entry(place, late)["client"]) == ("login", place.client.client_id)


async def test_an_expired_sign_in_at_a_provider_still_knows_its_client(
    github_place: Place, web: type[Web], clock: Clock
) -> None:
    visitor = await github_place.visitor()
    form = web.forms(await visitor.get(github_place.url()))[0]
    chosen = await visitor.http.post(form.action, data=form.values | {"decision": "approve"})
    login = await visitor.http.get(chosen.headers["location"])
    there = await visitor.http.get(web.refresh(login))
    back = await visitor.http.get(there.headers["location"])
    clock.advance(601)
    late = await visitor.get(back.headers["location"])
    assert "This sign-in has expired" in late.text
    assert entry(github_place, late)["client"] == github_place.client.client_id


async def test_a_sign_in_that_nobody_knows(place: Place, visitor: Visitor) -> None:
    page = await visitor.get("/login?flow=made-up")
    assert "Connect again from your client" in page.text
    assert entry(place, page)["event"] == "login"


async def test_a_client_removed_while_its_page_was_open(place: Place, visitor: Visitor) -> None:
    page = await visitor.get(place.url())
    await place.ctx.clients.delete(place.client.client_id)
    gone = await visitor.approve(page)
    for words in ("registration has changed", "connect again", place.client.client_id):
        assert words in gone.text
    assert entry(place, gone)["client"] == place.client.client_id


async def test_a_store_that_is_away_tells_the_log_why(
    place: Place, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise StoreUnavailableError from OSError("disk full")

    monkeypatch.setattr(type(place.ctx.clients), "find", away)
    page = await visitor.get(place.url())
    assert page.status_code == 503
    assert "disk full" not in page.text
    assert "disk full" in entry(place, page)["detail"]


async def test_a_fault_of_ours_is_a_page_too_and_its_reference_leads_to_the_cause(
    place: Place, visitor: Visitor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object) -> None:
        raise KeyError("a member that nobody wrote")

    monkeypatch.setattr(type(place.ctx.clients), "find", broken)
    page = await visitor.get(place.url())
    assert page.status_code == 500
    for words in ("Something went wrong here", "Try again", "Reference"):
        assert words in page.text
    assert "a member that" not in page.text
    assert "a member that nobody wrote" in entry(place, page)["detail"]
    assert "Traceback" in caplog.text


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "x" * 5000])
async def test_what_a_stranger_calls_itself_is_text_and_short(
    place: Place, visitor: Visitor, name: str
) -> None:
    page = await visitor.get(place.url(client_id=name))
    assert "<script" not in page.text
    assert "x" * 201 not in page.text
    assert len(entry(place, page)["client"]) <= 500


async def test_a_refusal_that_the_client_is_told_about_is_in_the_log_with_the_client(
    place: Place, visitor: Visitor, web: type[Web]
) -> None:
    assert web.answer(await visitor.get(place.url(code_challenge=None)))["error"] == "invalid_request"
    line = place.events("authorize")[-1]
    assert (line["outcome"], line["client"]) == ("refused", place.client.client_id)
    assert "PKCE" in line["reason"]
