"""What is remembered, for whom, and that nobody else can reach it."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import anyio
import httpx
import pytest
from mcp import Client
from mcp_types import CallToolResult, TextContent

Start = Callable[..., str]
Connect = Callable[..., AbstractAsyncContextManager[Client]]

MODERN = "2026-07-28"
ALICE, BOB = {"X-User-Id": "alice"}, {"X-User-Id": "bob"}
ACCEPT = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}


def text(result: CallToolResult) -> str:
    assert isinstance(result.content[0], TextContent)
    return result.content[0].text


def data(result: CallToolResult) -> dict[str, Any]:
    assert result.is_error is False
    assert isinstance(result.structured_content, dict)
    return result.structured_content


def rpc(method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}}


def open_session(browser: httpx.Client, url: str, headers: dict[str, str]) -> str:
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    answer = browser.post(f"{url}/mcp", json=rpc("initialize", hello), headers=ACCEPT | headers)
    assert answer.status_code == 200
    return answer.headers["mcp-session-id"]


@pytest.mark.parametrize("era", ["legacy", MODERN])
async def test_the_tools(era: str, start: Start, connect: Connect) -> None:
    async with connect(start(), era) as client:
        names = [tool.name for tool in (await client.list_tools()).tools]
        timing = data(await client.call_tool("requestTiming", {}))
    assert len(names) == 17
    assert {"echo", "replayLastEcho", "sessionInfo", "printHeader", "whoIStheGOAT"} <= set(names)
    assert timing["path"] == "/mcp"


async def test_a_session_remembers_its_own_last_echo(start: Start, connect: Connect) -> None:
    url = start()
    async with connect(url, "legacy") as first, connect(url, "legacy") as second:
        empty = await first.call_tool("replayLastEcho", {})
        assert empty.is_error is True
        assert text(empty) == "Nothing has been echoed for this session yet; call echo first."
        assert data(await first.call_tool("echo", {"message": "one"}))["remembered_for"] == "session"
        await first.call_tool("echo", {"message": "two"})
        await second.call_tool("echo", {"message": "three"})
        assert text(await first.call_tool("replayLastEcho", {})) == "two"
        assert text(await first.call_tool("replayLastEcho", {})) == "two"
        assert text(await second.call_tool("replayLastEcho", {})) == "three"


async def test_the_stateless_era_remembers_per_signed_in_user(start: Start, connect: Connect) -> None:
    url = start(trust_identity=True)
    async with connect(url, MODERN, ALICE) as alice, connect(url, MODERN, BOB) as bob:
        assert data(await alice.call_tool("echo", {"message": "from alice"}))["remembered_for"] == "user"
        assert (await bob.call_tool("replayLastEcho", {})).is_error is True
    async with connect(url, MODERN, ALICE) as again:
        assert text(await again.call_tool("replayLastEcho", {})) == "from alice"
        info = data(await again.call_tool("sessionInfo", {}))
    assert (info["kind"], info["bound_to_user"], info["session"]) == ("user", "alice", None)


@pytest.mark.parametrize(
    ("trust", "headers"), [(False, ALICE), (True, {}), (True, {"Mcp-Session-Id": "f" * 32})]
)
async def test_the_stateless_era_without_a_user_says_that_nothing_is_kept(
    start: Start, connect: Connect, trust: bool, headers: dict[str, str]
) -> None:
    async with connect(start(trust_identity=trust), MODERN, headers) as client:
        assert data(await client.call_tool("echo", {"message": "gone"}))["remembered_for"] is None
        replay = await client.call_tool("replayLastEcho", {})
        info = await client.call_tool("sessionInfo", {})
    assert replay.is_error is True
    assert "has no sessions, and nobody is signed in" in text(replay)
    assert data(info)["kind"] == "none"
    assert "has no sessions, and nobody is signed in" in text(info)


async def test_session_info_shows_ones_own_and_nobody_elses(
    start: Start, connect: Connect, browser: httpx.Client
) -> None:
    url = start(trust_identity=True)
    strangers = [open_session(browser, url, {"X-User-Id": f"stranger-{number}"}) for number in range(3)]
    async with connect(url, "legacy", ALICE) as alice:
        await alice.call_tool("echo", {"message": "hi"})
        result = await alice.call_tool("sessionInfo", {})
    info = data(result)
    assert (info["kind"], info["bound_to_user"], info["has_echo"], info["calls"]) == (
        "session",
        "alice",
        True,
        2,
    )
    shown = json.dumps(result.model_dump(mode="json"))
    assert "stranger" not in shown
    assert not any(session[:8] in shown or session[-8:] in shown for session in strangers)


@pytest.mark.parametrize("thief", [BOB, {}, {"X-User-Id": "alice", "x-user-id": "alice2"}])
@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
def test_a_session_does_not_exist_for_anyone_else(
    start: Start, browser: httpx.Client, method: str, thief: dict[str, str]
) -> None:
    url = start(trust_identity=True)
    session = {"Mcp-Session-Id": open_session(browser, url, ALICE)}
    body = {"json": rpc("tools/list")} if method == "POST" else {}
    headers = [*ACCEPT.items(), *session.items(), *thief.items()]
    stolen = browser.request(method, f"{url}/mcp", headers=headers, **body)  # type: ignore[arg-type]  # httpx stubs
    unknown = browser.request(
        method,
        f"{url}/mcp",
        headers=ACCEPT | {"Mcp-Session-Id": "0" * 32},
        **body,  # type: ignore[arg-type]  # httpx stubs
    )
    assert (stolen.status_code, stolen.content) == (404, unknown.content)
    mine = browser.post(f"{url}/mcp", json=rpc("tools/list"), headers=ACCEPT | session | ALICE)
    assert mine.status_code == 200


def test_a_session_opened_by_nobody_is_not_taken_over_by_a_user(start: Start, browser: httpx.Client) -> None:
    url = start(trust_identity=True)
    session = {"Mcp-Session-Id": open_session(browser, url, {})}
    assert browser.post(f"{url}/mcp", json=rpc("ping"), headers=ACCEPT | session | ALICE).status_code == 404
    assert browser.post(f"{url}/mcp", json=rpc("ping"), headers=ACCEPT | session).status_code == 200


def test_identity_headers_mean_nothing_unless_trusted(start: Start, browser: httpx.Client) -> None:
    url = start()
    session = {"Mcp-Session-Id": open_session(browser, url, ALICE)}
    assert browser.post(f"{url}/mcp", json=rpc("ping"), headers=ACCEPT | session | BOB).status_code == 200


def test_session_ids_are_long_random_and_end_with_delete(start: Start, browser: httpx.Client) -> None:
    url = start()
    ids = {open_session(browser, url, {}) for _ in range(5)}
    assert len(ids) == 5
    assert all(len(session) >= 32 for session in ids)
    headers = ACCEPT | {"Mcp-Session-Id": ids.pop()}
    assert browser.delete(f"{url}/mcp", headers=headers).status_code == 200
    assert browser.post(f"{url}/mcp", json=rpc("ping"), headers=headers).status_code == 404


def test_without_a_session_id_only_initialize_opens_one(start: Start, browser: httpx.Client) -> None:
    url = start(max_sessions=1)
    for _ in range(3):
        assert browser.get(f"{url}/mcp", headers={"Accept": "text/event-stream"}).status_code == 400
        assert browser.post(f"{url}/mcp", json=rpc("tools/list"), headers=ACCEPT).status_code == 400
        assert browser.delete(f"{url}/mcp").status_code == 400
    open_session(browser, url, {})


def test_the_number_of_sessions_is_bounded(start: Start, browser: httpx.Client) -> None:
    url = start(max_sessions=2)
    first = open_session(browser, url, {})
    open_session(browser, url, {})
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    refused = browser.post(f"{url}/mcp", json=rpc("initialize", hello), headers=ACCEPT)
    assert (refused.status_code, refused.json()["error"]["message"]) == (
        503,
        "Too many open sessions; try again later.",
    )
    assert int(refused.headers["retry-after"]) > 0
    browser.delete(f"{url}/mcp", headers={"Mcp-Session-Id": first})
    open_session(browser, url, {})


async def test_an_idle_session_ends(start: Start, browser: httpx.Client) -> None:
    url = start(session_timeout=0.05)
    headers = ACCEPT | {"Mcp-Session-Id": open_session(browser, url, {})}
    with anyio.fail_after(60):
        while browser.post(f"{url}/mcp", json=rpc("ping"), headers=headers).status_code != 404:
            await anyio.sleep(0.1)
    info = browser.post(f"{url}/mcp", json=rpc("tools/call", {"name": "sessionInfo"}), headers=headers)
    assert info.status_code == 404
