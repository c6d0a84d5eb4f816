"""Sign-in with GitHub, against a look-alike that speaks GitHub's wire format."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from mcp_oauth_dynamicclient.login.github_api import GitHubApi
from mcp_oauth_dynamicclient.settings import Settings

from ..support import Clock
from .support import GitHub, OpenPlace, Place, Visitor, Web


async def come_back(place: Place, visitor: Visitor, **changes: str | None) -> Any:
    return await visitor.approve(await visitor.get(place.url(**changes)))


async def tokens(place: Place, response: httpx.Response, web: type[Web]) -> dict[str, Any]:
    answer: dict[str, Any] = (await place.redeem(web.answer(response)["code"])).json()
    return answer


async def test_an_allowed_user_gets_a_code(github_place: Place, github: GitHub, web: type[Web]) -> None:
    response = await come_back(github_place, await github_place.visitor())
    told = web.answer(response)
    assert told["state"] == "the client's state"
    assert told["iss"] == github_place.issuer
    access = await tokens(github_place, response, web)
    claims = github_place.ctx.tokens.verify_signature(access["access_token"])
    assert claims["sub"] == "github:583231"


async def test_the_request_to_github_has_state_pkce_and_least_scope(
    github_place: Place, github: GitHub
) -> None:
    await come_back(github_place, await github_place.visitor())
    asked = github.asked[0]
    assert asked["client_id"] == github.client_id
    assert asked["response_type"] == "code"
    assert asked["redirect_uri"] == f"{github_place.issuer}/callback/github"
    assert asked["code_challenge_method"] == "S256"
    assert len(asked["code_challenge"]) == 43
    assert len(asked["state"]) == 43
    assert asked["scope"].split() == ["read:user", "user:email"]
    assert "prompt" not in asked


async def test_with_one_provider_the_page_goes_on_by_itself(github_place: Place, web: type[Web]) -> None:
    visitor = await github_place.visitor()
    form = web.forms(await visitor.get(github_place.url()))[0]
    chosen = await visitor.http.post(form.action, data=form.values | {"decision": "approve"})
    page = await visitor.http.get(chosen.headers["location"])
    assert web.refresh(page) in web.links(page)
    assert "Continue with GitHub" in page.text


async def test_a_user_who_is_not_allowed_is_refused_and_may_choose_another_account(
    github_place: Place, github: GitHub, web: type[Web]
) -> None:
    github.user = {"login": "mallory", "id": 666, "name": None, "email": None}
    visitor = await github_place.visitor()
    told = web.answer(await come_back(github_place, visitor))
    assert told["error"] == "access_denied"
    assert "mallory is not admitted" in told["error_description"]
    assert told["state"] == "the client's state"
    assert "mcp-session" not in visitor.http.cookies
    github.user = {"login": "OctoCat", "id": 583231, "name": None, "email": None}
    assert "code" in web.answer(await come_back(github_place, visitor))
    assert [asked.get("prompt") for asked in github.asked] == [None, "select_account"]


async def test_refusing_at_github_is_access_denied_and_spends_the_state(
    github_place: Place, github: GitHub, web: type[Web]
) -> None:
    github.refuses = True
    visitor = await github_place.visitor()
    told = web.answer(await come_back(github_place, visitor))
    assert told["error"] == "access_denied"
    assert told["state"] == "the client's state"
    assert told["iss"] == github_place.issuer
    again = await visitor.http.get("/callback", params={"state": github.asked[0]["state"], "code": "x"})
    assert again.status_code == 400


async def test_errors_that_github_sends_with_status_200_are_errors(
    github_place: Place, github: GitHub, web: type[Web]
) -> None:
    github.client_secret = "another"
    told = web.answer(await come_back(github_place, await github_place.visitor()))
    assert told["error"] == "server_error"
    assert "incorrect_client_credentials" in told["error_description"]


async def test_github_being_away_is_told_as_temporary(
    github_place: Place, github: GitHub, web: type[Web]
) -> None:
    visitor = await github_place.visitor()
    seen: list[Any] = []

    async def stop_after_authorize(response: httpx.Response) -> None:
        if "/login/oauth/authorize" in str(response.url):
            github.is_down = True
            seen.append(response)

    visitor.http.event_hooks["response"].append(stop_after_authorize)
    told = web.answer(await come_back(github_place, visitor))
    assert seen
    assert told["error"] == "temporarily_unavailable"


async def test_the_old_callback_path_works_too(github_place: Place, github: GitHub, web: type[Web]) -> None:
    visitor = await github_place.visitor()

    async def shorten(request: httpx.Request) -> None:
        if request.url.path == "/callback/github":
            request.url = request.url.copy_with(path="/callback")

    visitor.http.event_hooks["request"].append(shorten)
    assert "code" in web.answer(await come_back(github_place, visitor))


async def test_the_token_is_handed_back_when_it_is_not_needed(github_place: Place, github: GitHub) -> None:
    await come_back(github_place, await github_place.visitor())
    assert f"DELETE /api/v3/applications/{github.client_id}/token" in github.requests
    assert github.tokens == {}


async def test_only_a_verified_primary_address_is_the_persons_email(
    github_place: Place, github: GitHub, web: type[Web]
) -> None:
    await come_back(github_place, await github_place.visitor())
    grants = [entry.value async for entry in github_place.ctx.store.list("grant")]
    assert grants[0]["identity"]["email"] == "octocat@example.com"


async def test_prompt_select_account_reaches_github(github_place: Place, github: GitHub) -> None:
    await come_back(github_place, await github_place.visitor(), prompt="select_account")
    assert github.asked[0]["prompt"] == "select_account"


async def test_a_removed_user_is_refused_at_the_next_request(
    github_place: Place, github_settings: dict[str, object], open_place: OpenPlace, web: type[Web]
) -> None:
    access = await tokens(github_place, await come_back(github_place, await github_place.visitor()), web)
    assert await github_place.verify(access["access_token"]) == 200
    changed = await open_place(**(github_settings | {"allowed_github_users": "somebody-else"}))
    assert await changed.verify(access["access_token"]) == 401


@pytest.fixture
def by_organisation(github: GitHub, github_settings: dict[str, object]) -> dict[str, object]:
    github.orgs = ["one", "two", "Acme"]
    return github_settings | {"allowed_github_users": "", "allowed_github_orgs": "acme"}


async def test_a_member_of_an_allowed_organisation_is_admitted_from_a_later_page(
    open_place: OpenPlace, by_organisation: dict[str, object], github: GitHub, web: type[Web]
) -> None:
    place = await open_place(**by_organisation)
    assert "code" in web.answer(await come_back(place, await place.visitor()))
    assert github.asked[0]["scope"].split() == ["read:user", "user:email", "read:org"]
    assert "GET /api/v3/user/teams" not in github.requests


async def test_teams_are_asked_when_a_rule_names_one(
    open_place: OpenPlace, by_organisation: dict[str, object], github: GitHub, web: type[Web]
) -> None:
    place = await open_place(**(by_organisation | {"allowed_github_orgs": "acme/Platform"}))
    told = web.answer(await come_back(place, await place.visitor()))
    assert told["error"] == "access_denied"
    github.teams = [("Acme", "platform")]
    assert "code" in web.answer(await come_back(place, await place.visitor()))


async def test_leaving_the_organisation_ends_a_live_token_within_minutes(
    open_place: OpenPlace, by_organisation: dict[str, object], github: GitHub, clock: Clock, web: type[Web]
) -> None:
    place = await open_place(**by_organisation)
    token = (await tokens(place, await come_back(place, await place.visitor()), web))["access_token"]
    assert await place.verify(token) == 200
    github.orgs = ["one"]
    clock.advance(200)
    await place.verify(token)
    await place.ctx.standings.settle()
    assert await place.verify(token) == 401
    github.orgs = ["acme"]
    clock.advance(200)
    await place.verify(token)
    await place.ctx.standings.settle()
    assert await place.verify(token) == 200


async def test_no_request_at_the_gate_waits_for_github(
    open_place: OpenPlace, by_organisation: dict[str, object], github: GitHub, clock: Clock, web: type[Web]
) -> None:
    place = await open_place(**by_organisation)
    token = (await tokens(place, await come_back(place, await place.visitor()), web))["access_token"]
    clock.advance(200)
    github.gate = asyncio.Event()
    before = github.requests.count("GET /api/v3/user/orgs")
    for _ in range(3):
        assert await place.verify(token) == 200
    github.orgs = []
    github.gate.set()
    await place.ctx.standings.settle()
    assert github.requests.count("GET /api/v3/user/orgs") == before + 1
    assert await place.verify(token) == 401


async def test_a_refresh_asks_github_first(
    open_place: OpenPlace, by_organisation: dict[str, object], github: GitHub, clock: Clock, web: type[Web]
) -> None:
    place = await open_place(**by_organisation)
    told = await tokens(place, await come_back(place, await place.visitor()), web)
    clock.advance(8 * 3600)
    github.orgs = []
    refused = await place.refresh(told["refresh_token"])
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    github.orgs = ["acme"]
    clock.advance(200)
    assert (await place.refresh(told["refresh_token"])).status_code == 200


async def test_membership_is_not_asked_at_every_request(
    open_place: OpenPlace, by_organisation: dict[str, object], github: GitHub, clock: Clock, web: type[Web]
) -> None:
    place = await open_place(**by_organisation)
    token = (await tokens(place, await come_back(place, await place.visitor()), web))["access_token"]
    before = github.requests.count("GET /api/v3/user/orgs")
    for _ in range(3):
        assert await place.verify(token) == 200
    assert github.requests.count("GET /api/v3/user/orgs") == before


async def test_while_github_is_away_membership_is_believed_for_four_hours_only(
    open_place: OpenPlace, by_organisation: dict[str, object], github: GitHub, clock: Clock, web: type[Web]
) -> None:
    place = await open_place(**by_organisation, access_token_lifetime=86400)
    told = await tokens(place, await come_back(place, await place.visitor()), web)
    github.is_down = True
    for _ in range(4):
        clock.advance(3590)
        assert await place.verify(told["access_token"]) == 200
        await place.ctx.standings.settle()
    clock.advance(3660)
    assert await place.verify(told["access_token"]) == 401
    await place.ctx.standings.settle()
    waiting = await place.refresh(told["refresh_token"])
    assert (waiting.status_code, waiting.json()["error"]) == (503, "temporarily_unavailable")
    github.is_down = False
    clock.advance(60)
    assert (await place.refresh(told["refresh_token"])).status_code == 200
    assert await place.verify(told["access_token"]) == 200


async def test_taking_back_the_authorization_at_github_ends_the_membership(
    open_place: OpenPlace, by_organisation: dict[str, object], github: GitHub, clock: Clock, web: type[Web]
) -> None:
    place = await open_place(**by_organisation)
    token = (await tokens(place, await come_back(place, await place.visitor()), web))["access_token"]
    github.tokens.clear()
    clock.advance(200)
    await place.verify(token)
    await place.ctx.standings.settle()
    assert await place.verify(token) == 401


async def test_githubs_token_rests_encrypted(
    open_place: OpenPlace, by_organisation: dict[str, object], github: GitHub
) -> None:
    place = await open_place(**by_organisation)
    await come_back(place, await place.visitor())
    (token,) = github.tokens
    records = [entry.value async for entry in place.ctx.store.list("membership")]
    assert len(records) == 1
    assert token not in str(records)


@pytest.mark.parametrize(
    ("base", "api"),
    [
        ("https://github.com", "https://api.github.com"),
        ("https://acme.ghe.com", "https://api.acme.ghe.com"),
        ("https://github.corp.example", "https://github.corp.example/api/v3"),
        ("https://github.corp.example/", "https://github.corp.example/api/v3"),
    ],
)
def test_where_the_api_is(make_settings: Callable[..., Settings], base: str, api: str) -> None:
    settings = make_settings(github_client_id="x", github_client_secret="y", github_base_url=base)
    assert GitHubApi(settings, None).url == api  # type: ignore[arg-type]  # nothing is sent


def test_the_look_alike_checks_pkce(github: GitHub) -> None:
    """Otherwise the tests above would not show that PKCE is used."""
    verifier = "a" * 43
    digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    github._codes["c"] = {"code_challenge": digest, "scope": ""}
    credentials = {"client_id": github.client_id, "client_secret": github.client_secret}
    wrong = github._redeem({"code": "c", "code_verifier": "b" * 43} | credentials)
    assert wrong["error"] == "bad_verification_code"
    assert urlsplit(github.url).hostname == "127.0.0.1"
