"""A page that ends something names the client, says what to do, and carries a reference found in the log."""

from __future__ import annotations

import html
import re
from typing import Any

import httpx
import pytest
from mcp_oauth_dynamicclient.errors import StoreUnavailableError, TemporarilyUnavailableError
from mcp_oauth_dynamicclient.metrics import Refusals
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
    for words in ("not known here", "nobody has checked it: <code>client_gone</code>", "add it again"):
        assert words in page.text
    line = entry(place, page)
    assert (line["event"], line["claimed_client"], "client" in line) == ("authorize", "client_gone", False)


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


@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)</script>", "x" * 5000, "\u202eevil\u2066", "a\nb\x1b[2J\x9b", "日本",
        "Your account is locked, call 555 0100",
    ],
)  # fmt: skip
async def test_what_a_stranger_calls_itself_is_short_and_reads_as_no_text(
    place: Place, visitor: Visitor, name: str
) -> None:
    page = await visitor.get(place.url(client_id=name))
    found = re.search(r"nobody has checked it: <code>(.*?)</code>", page.text)
    assert found is not None, page.text
    shown = html.unescape(found[1])
    assert len(shown) <= 100
    assert re.fullmatch(r"[!-;=?-~]+…?", shown)
    assert name not in page.text
    assert len(entry(place, page)["claimed_client"]) <= 500


async def test_strangers_push_no_client_out_of_the_metrics(place: Place, visitor: Visitor) -> None:
    own = place.client.client_id
    place.ctx.audit.record("authorize", outcome="refused", client=own, reason="once")
    for number in range(Refusals.KEPT + 1):
        await visitor.get(place.url(client_id=f"made-up-{number}"))
        await visitor.get(place.url(redirect_uri=f"made-up-{number}:/"))
        await visitor.get(f"{place.url()}&made-up-{number}=1&made-up-{number}=2")
        await visitor.http.post("/token", data={"client_id": f"made-up-{number}", "grant_type": "x"})
        await visitor.http.post("/register", json={"redirect_uris": [f"made-up-{number}:/"]})
    page = (await visitor.http.get("/metrics")).text
    assert f'client="{own}",event="authorize",reason="once"' in page
    assert 'client="unknown",event="authorize"' in page
    assert 'client="unknown",event="client.authenticate"' in page
    assert "made-up" not in page


async def test_an_outage_is_one_line_a_minute_however_many_meet_it(
    place: Place, visitor: Visitor, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise StoreUnavailableError from OSError("disk full")

    monkeypatch.setattr(type(place.ctx.clients), "find", away)
    met = [await visitor.get(place.url(client_id=f"made-up-{number}")) for number in range(20)]
    assert {page.status_code for page in met} == {503}
    assert len({reference(page) for page in met}) == 1
    line = entry(place, met[-1])
    assert "disk full" in line["detail"]
    assert "unwritten" not in line
    clock.advance(61)
    later = await visitor.get(place.url())
    assert reference(later) != reference(met[0])
    assert entry(place, later)["unwritten"] == 19
    assert len(place.events("authorize")) == 2


async def test_a_refusal_that_the_client_is_told_about_is_in_the_log_with_the_client(
    place: Place, visitor: Visitor, web: type[Web]
) -> None:
    place.client = await place.preregister(web.WEB)
    assert web.answer(await visitor.get(place.url(code_challenge=None)))["error"] == "invalid_request"
    line = place.events("authorize")[-1]
    assert (line["outcome"], line["client"]) == ("refused", place.client.client_id)
    assert "PKCE" in line["reason"]
