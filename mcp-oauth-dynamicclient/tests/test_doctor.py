"""`check`: what it says of clocks and of servers, against edges that answer in every way."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from email.utils import formatdate
from io import StringIO
from typing import Any

import httpx
import pytest
from mcp_oauth_dynamicclient._common.hop import Verdict
from mcp_oauth_dynamicclient.app import open_context
from mcp_oauth_dynamicclient.context import Context
from mcp_oauth_dynamicclient.doctor import check_clocks, check_server, examine
from mcp_oauth_dynamicclient.doctor_records import check_settings
from mcp_oauth_dynamicclient.settings import Settings

TIME = "http://localhost:8080/time/mcp"
Answer = Callable[[httpx.Request], httpx.Response]


async def findings(check: Any, ctx: Context, answer: Answer, *arguments: str) -> list[Verdict]:
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        return [verdict async for verdict in check(ctx, http, *arguments)]


def clock(differs_by: float) -> Answer:
    return lambda _: httpx.Response(200, headers={"Date": formatdate(time.time() + differs_by, usegmt=True)})


@pytest.fixture
async def context(make_settings: Callable[..., Settings]) -> AsyncIterator[Context]:
    """With GitHub, and with a clock that is right."""
    settings = make_settings(github_client_id="x", github_client_secret="x")
    async with open_context(settings, audit=StringIO()) as ctx:
        yield ctx


@pytest.mark.parametrize(
    ("differs_by", "state", "words"),
    [
        (0, "well", "agrees"),
        (2, "well", "agrees"),
        (20, "warning", "ahead of"),
        (-20, "warning", "behind"),
        (-3600, "wrong", "behind"),
        (3600, "wrong", "ahead of"),
    ],
)
async def test_clocks_that_differ_are_told_before_tokens_are_refused(
    context: Context, differs_by: float, state: str, words: str
) -> None:
    found = await findings(check_clocks, context, clock(differs_by))
    assert [verdict.state for verdict in found] == [state, state]
    assert all(words in verdict.what for verdict in found)
    assert ["the public address" in verdict.what for verdict in found] == [True, False]
    assert "GitHub" in found[1].what


async def test_a_provider_that_cannot_be_asked_is_named(context: Context) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "github.com":
            raise httpx.ConnectError("Name or service not known")
        return clock(0)(request)

    own, github = await findings(check_clocks, context, answer)
    assert own.state == "well"
    assert (github.state, github.what) == ("wrong", "GitHub cannot be asked")
    assert github.said == "Name or service not known"


@pytest.mark.parametrize(
    ("where", "addresses"),
    [
        ({}, ["http://localhost:8080/fetch/mcp", "http://localhost:8080/time/mcp"]),
        ({"base_domain": "example.com"}, ["https://fetch.example.com/mcp", "https://time.example.com/mcp"]),
    ],
    ids=["one host", "subdomains"],
)
async def test_every_known_server_is_looked_at_unless_one_is_named(
    make_settings: Callable[..., Settings], where: dict[str, str], addresses: list[str]
) -> None:
    settings = make_settings(servers="time,fetch", **where)
    looked_at: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            looked_at.append(str(request.url))
        return httpx.Response(404)

    async with open_context(settings, audit=StringIO()) as ctx:
        await findings(examine, ctx, answer)
        assert looked_at == addresses
        looked_at.clear()
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
            assert [verdict async for verdict in examine(ctx, http, (addresses[1],))]
        assert looked_at == addresses[1:]


def test_what_compose_itself_sets_is_no_reason_for_a_warning(make_settings: Callable[..., Settings]) -> None:
    edge = {"edge_url": "http://traefik:8090", "edge_secret": "a secret of some length, for the edge"}
    assert any(
        "TRUSTED_PROXIES" in found.what for found in check_settings(make_settings(trusted_proxies="*"))
    )
    composed = make_settings(trusted_proxies="*", **edge)
    assert [found.state for found in check_settings(composed)] == ["well"]


async def look(ctx: Context, answer: Answer) -> Verdict:
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        return await check_server(ctx, http, TIME)


async def test_a_server_that_does_not_exist_is_named_as_such(context: Context) -> None:
    found = await look(context, lambda _: httpx.Response(404))
    assert (found.hop, found.state) == ("url", "wrong")
    assert f"there is no MCP server at {TIME}" in found.what


async def test_a_server_that_is_away_is_told_apart_with_its_reason(context: Context) -> None:
    body = {"error": "unavailable", "error_description": "The server time is not running."}
    found = await look(context, lambda _: httpx.Response(503, json=body))
    assert (found.hop, found.state) == ("challenge", "wrong")
    assert "The server time is not running." in found.said
    assert "behind the gateway is away" in found.cure


async def test_a_server_without_a_gate_is_a_problem(context: Context) -> None:
    found = await look(context, lambda _: httpx.Response(200, json={}))
    assert (found.hop, found.state) == ("challenge", "wrong")
    assert "without a challenge" in found.what


async def test_a_gate_that_is_another_s_is_a_problem(context: Context) -> None:
    other = 'Bearer resource_metadata="https://other.example/.well-known/oauth-protected-resource"'
    found = await look(context, lambda _: httpx.Response(401, headers={"WWW-Authenticate": other}))
    assert (found.hop, found.state) == ("challenge", "wrong")
    assert "not ours" in found.what
