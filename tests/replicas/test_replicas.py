"""Three replicas behind a load balancer that takes turns: the official SDK's clients notice nothing, in both
eras and in both lines of it, and when a replica goes only the sessions that it held end."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest
from mcp import MCPError
from mcp.types import ElicitResult

from .clients import MODERN, connected, old_client
from .conftest import Fleet
from .sessions import open_session, ping, resume, text

NOW: dict[str, Any] = {"timezone": "UTC"}
CLIENTS = 3
CALLS = 4


def settled(fleet: Fleet) -> None:
    """Until the load balancer has learned who is gone: it answers 502 for that one until then."""
    while any(fleet.http.get(f"{fleet.url}/health").status_code != 200 for _ in range(6)):
        pass


@pytest.mark.parametrize("mode", ["legacy", MODERN])
async def test_an_unmodified_server_is_called_through_every_replica(proxies: Fleet, mode: str) -> None:
    async with AsyncExitStack() as stack:
        opening = [connected(f"{proxies.url}/time/mcp", mode) for _ in range(CLIENTS)]
        clients = [await stack.enter_async_context(one) for one in opening]
        for _ in range(CALLS):
            await asyncio.gather(*(text(client, "get_current_time", **NOW) for client in clients))
        if mode == "legacy":
            assert sum(proxies.metric("mcp_proxy_sessions", "time")) == CLIENTS


async def test_a_client_of_the_old_sdk_is_served_too(proxies: Fleet) -> None:
    async with old_client(f"{proxies.url}/time/mcp", "get_current_time", NOW) as client:
        assert [await client.call() for _ in range(CALLS)] == ["ok"] * CALLS


@pytest.mark.parametrize("mode", ["legacy", MODERN])
async def test_an_answer_to_a_question_finds_the_call_that_waits_for_it(proxies: Fleet, mode: str) -> None:
    """In the modern era nothing but `requestState` leads there: nobody is signed in."""

    async def answer(context: Any, params: Any) -> ElicitResult:
        return ElicitResult(action="accept", content={"name": "Ada", "check": True})

    async with connected(f"{proxies.url}/everything/mcp", mode, elicitation_callback=answer) as client:
        for _ in range(CALLS):
            assert "Ada" in await text(client, "trigger-elicitation-request")


async def test_all_that_a_user_opens_is_one_process_somewhere(proxies: Fleet) -> None:
    async with AsyncExitStack() as stack:
        for mode in ("legacy", "legacy", MODERN):
            opening = connected(f"{proxies.url}/mine/mcp", mode, "ada")
            client = await stack.enter_async_context(opening)
            await text(client, "get_current_time", **NOW)
        # One for her sessions, and one for the modern era.
        assert sum(proxies.metric("mcp_proxy_children", "mine")) == 2
        assert max(proxies.metric("mcp_proxy_children", "mine")) == 2


async def test_an_unknown_session_is_404_at_every_replica(proxies: Fleet) -> None:
    for _ in range(3):
        assert ping(proxies, proxies.url, "made-up") == 404


# the stateful server, with its state in memory


async def test_what_a_session_is_told_is_remembered(echoes: Fleet) -> None:
    async with AsyncExitStack() as stack:
        opening = [connected(f"{echoes.url}/mcp", "legacy") for _ in range(CLIENTS)]
        clients = [await stack.enter_async_context(one) for one in opening]
        for number, client in enumerate(clients):
            await text(client, "echo", message=f"message {number}")
        for _ in range(CALLS):
            for number, client in enumerate(clients):
                assert await text(client, "replayLastEcho") == f"message {number}"


async def test_what_a_user_said_is_remembered_without_sessions(echoes: Fleet) -> None:
    for user in ("ada", "bob", "eve"):
        async with connected(f"{echoes.url}/mcp", MODERN, user) as client:
            await text(client, "echo", message=f"I am {user}")
    for user in ("ada", "bob", "eve"):
        async with connected(f"{echoes.url}/mcp", MODERN, user) as client:
            for _ in range(CALLS):
                assert await text(client, "replayLastEcho") == f"I am {user}"


async def test_a_handle_of_nobody_is_found(echoes: Fleet) -> None:
    async with connected(f"{echoes.url}/mcp", MODERN) as client:
        result = await client.call_tool("echo", {"message": "keep this", "handle": "new"})
        assert result.structured_content is not None
        handle = result.structured_content["handle"]
        for _ in range(CALLS):
            assert await text(client, "replayLastEcho", handle=handle) == "keep this"


# a replica goes


async def test_when_a_replica_is_killed_only_its_sessions_end_and_their_clients_go_on(proxies: Fleet) -> None:
    url = f"{proxies.url}/everything/mcp"
    begun = asyncio.Event()

    async def progress(progress: float, total: float | None, message: str | None) -> None:
        begun.set()

    async with AsyncExitStack() as stack:
        before = proxies.metric("mcp_proxy_sessions", "everything")
        client = await stack.enter_async_context(connected(url, "legacy"))
        after = proxies.metric("mcp_proxy_sessions", "everything")
        owner = next(number for number in range(3) if after[number] > before[number])
        owned = after[owner]
        olds = [await stack.enter_async_context(old_client(url, "echo", {"message": "x"})) for _ in range(2)]
        held = proxies.metric("mcp_proxy_sessions", "everything")[owner] - owned
        modern = await stack.enter_async_context(connected(url, MODERN))
        ids = [open_session(proxies, at.url) for at in proxies.replicas]
        assert [await old.call() for old in olds] == ["ok"] * 2
        long = {"duration": 60, "steps": 600}
        call = asyncio.create_task(
            client.call_tool("trigger-long-running-operation", long, progress_callback=progress)
        )
        await begun.wait()

        proxies.replicas[owner].kill()

        # The call under way: its client resumes the stream, is told that the session is gone, and says so.
        with pytest.raises(MCPError, match="reconnection attempts were exhausted"):
            await call
        rest = [replica for number, replica in enumerate(proxies.replicas) if number != owner]
        for at in rest:
            wanted = [404 if number == owner else 200 for number in range(3)]
            assert [ping(proxies, at.url, one) for one in ids] == wanted
            assert resume(proxies, at.url, ids[owner]) == 404
        await asyncio.to_thread(settled, proxies)
        with pytest.raises(MCPError, match="session not found"):
            await text(client, "echo", message="to a session that is gone")
        assert "hello" in await text(modern, "echo", message="hello")
        said = [await old.call() for old in olds]
        assert sum(word.startswith("failed: ") for word in said) == held
        assert [await old.call() for old in olds] == ["ok"] * 2
        again = await stack.enter_async_context(connected(url, "legacy"))
        assert "hello" in await text(again, "echo", message="hello")
