"""Sessions outlive their process and are shared by replicas; nobody's share is another's; events replayed."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from fastapi import FastAPI
from mcp import Client
from mcp.server import Server, ServerRequestContext
from mcp_echo_streamablehttp_server_stateful import Settings, create_app
from mcp_echo_streamablehttp_server_stateful.app import with_sessions
from mcp_echo_streamablehttp_server_stateful.store import connect as connect_store
from mcp_echo_streamablehttp_server_stateless.toolbox import Toolbox
from mcp_types import CallToolRequestParams, CallToolResult, TextContent

from .conftest import running

Start = Callable[..., str]
Connect = Callable[..., AbstractAsyncContextManager[Client]]

MODERN = "2026-07-28"
ALICE, BOB = {"X-User-Id": "alice"}, {"X-User-Id": "bob"}
ACCEPT = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}


def rpc(method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}}


def said(answer: httpx.Response) -> dict[str, Any]:
    """The result of an answer, in whichever form it came."""
    assert answer.status_code == 200, answer.text
    text = answer.text
    if answer.headers["content-type"].startswith("text/event-stream"):
        text = [line[5:].strip() for line in text.splitlines() if line.startswith("data:")][-1]
    found: dict[str, Any] = json.loads(text)["result"]
    return found


class Session:
    def __init__(self, http: httpx.Client, url: str, headers: dict[str, str] | None = None) -> None:
        self.http, self.headers = http, ACCEPT | (headers or {})
        opened = http.post(f"{url}/mcp", json=rpc("initialize", HELLO), headers=self.headers)
        assert opened.status_code == 200, opened.text
        self.headers["Mcp-Session-Id"] = opened.headers["mcp-session-id"]

    def post(self, url: str, name: str, **arguments: Any) -> httpx.Response:
        body = rpc("tools/call", {"name": name, "arguments": arguments})
        return self.http.post(f"{url}/mcp", json=body, headers=self.headers)

    def call(self, url: str, name: str, **arguments: Any) -> dict[str, Any]:
        result: dict[str, Any] = said(self.post(url, name, **arguments))["structuredContent"]
        return result


def test_a_session_goes_on_after_kill_9(tmp_path: Path, browser: httpx.Client) -> None:
    @contextmanager
    def started() -> Iterator[str]:
        command = [sys.executable, "-m", "mcp_echo_streamablehttp_server_stateful", "--port", "0"]
        with subprocess.Popen(command, env={}, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
            try:
                assert process.stderr is not None
                line = next(line for line in process.stderr if "Listening on " in line)
                yield line.rsplit(" ", 1)[1].strip().removesuffix("/mcp")
            finally:
                process.kill()

    with started() as url:
        client = Session(browser, url)
        client.call(url, "echo", message="before")
    with started() as url:
        assert client.call(url, "replayLastEcho")["message"] == "before"
        info = client.call(url, "sessionInfo")
        assert (info["client"], info["protocol_version"], info["calls"]) == ("t 1", "2025-11-25", 3)
        assert browser.delete(f"{url}/mcp", headers=client.headers).status_code == 200
        assert client.post(url, "sessionInfo").status_code == 404


def test_an_answer_that_was_lost_with_its_process_is_replayed(tmp_path: Path, browser: httpx.Client) -> None:
    state = f"sqlite:///{tmp_path / 'echo.db'}"
    with running(create_app(Settings.load(echo_state_url=state))) as url:
        client = Session(browser, url, {"MCP-Protocol-Version": "2025-11-25"})
        answer = client.post(url, "echo", message="the answer")
        first = next(line for line in answer.text.splitlines() if line.startswith("id:"))
    with running(create_app(Settings.load(echo_state_url=state))) as url:
        again = client.headers | {
            "Accept": "text/event-stream",
            "Last-Event-ID": first.partition(":")[2].strip(),
        }
        assert "the answer" in browser.get(f"{url}/mcp", headers=again).text
        assert browser.get(f"{url}/mcp", headers=again | {"Last-Event-ID": "x"}).text == ""


@pytest.mark.parametrize("store", ["sqlite", "redis"])
def test_a_second_replica_sees_the_same(
    store: str, start: Start, browser: httpx.Client, request: pytest.FixtureRequest
) -> None:
    at = {"echo_state_url": request.getfixturevalue("redis_url")} if store == "redis" else {}
    one, two = start(trust_identity=True, **at), start(trust_identity=True, **at)
    alice = Session(browser, one, ALICE)
    alice.call(one, "echo", message="at one")
    assert alice.call(two, "replayLastEcho")["message"] == "at one"
    alice.call(two, "echo", message="at two")
    assert alice.call(one, "replayLastEcho")["message"] == "at two"
    thief = browser.post(f"{two}/mcp", json=rpc("ping"), headers=alice.headers | BOB)
    assert thief.status_code == 404
    assert browser.delete(f"{two}/mcp", headers=alice.headers).status_code == 200
    assert alice.post(one, "replayLastEcho").status_code == 404


def test_many_requests_at_once_open_a_session_anew_once(start: Start, browser: httpx.Client) -> None:
    one, two = start(), start()
    client = Session(browser, one)
    client.call(one, "echo", message="x")

    async def at_once() -> list[int]:
        async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
            statuses: list[int] = []

            async def call(number: int) -> None:
                body = rpc("tools/call", {"name": "replayLastEcho", "arguments": {}}) | {"id": number}
                statuses.append(
                    (await http.post(f"{two}/mcp", json=body, headers=client.headers)).status_code
                )

            async with anyio.create_task_group() as group:
                for number in range(8):
                    group.start_soon(call, number)
            return statuses

    assert anyio.run(at_once) == [200] * 8


def test_one_user_can_neither_erase_nor_exhaust_anothers(start: Start, browser: httpx.Client) -> None:
    url = start(trust_identity=True, max_sessions=6, sessions_per_user=3)
    bob = Session(browser, url, BOB)
    bob.call(url, "echo", message="bob's")
    first = Session(browser, url, ALICE)
    for number in range(40):
        alice = Session(browser, url, ALICE)
        if number % 2:
            browser.delete(f"{url}/mcp", headers=alice.headers)
    assert first.post(url, "sessionInfo").status_code == 404, "her own longest unused session went"
    assert bob.call(url, "replayLastEcho")["message"] == "bob's"
    Session(browser, url, {"X-User-Id": "carol"})


def test_a_session_that_was_put_away_is_opened_again(start: Start, browser: httpx.Client) -> None:
    """Two places in each process, three sessions: one is always put away."""
    one, two = start(max_sessions=2), start(max_sessions=3)
    clients = [Session(browser, two) for _ in range(3)]
    for number, client in enumerate(clients):
        client.call(one, "echo", message=str(number))
    for number, client in enumerate(clients):
        assert client.call(one, "replayLastEcho")["message"] == str(number)


def test_a_long_message_is_refused_and_keeps_nothing(start: Start, browser: httpx.Client) -> None:
    url = start(echo_bytes=10)
    client = Session(browser, url)
    client.call(url, "echo", message="short")
    refused = said(client.post(url, "echo", message="ü" * 6))
    assert refused["isError"] is True
    assert "more than 10 bytes" in refused["content"][0]["text"]
    assert client.call(url, "replayLastEcho")["message"] == "short"


def test_an_initialize_is_bounded(start: Start, browser: httpx.Client) -> None:
    hello = HELLO | {"clientInfo": {"name": "t" * 20_000, "version": "1"}}
    answer = browser.post(f"{start()}/mcp", json=rpc("initialize", hello), headers=ACCEPT)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32600)


def test_a_refused_initialize_leaves_nothing(start: Start, browser: httpx.Client) -> None:
    url = start(max_sessions=1)
    for params in ({}, {"protocolVersion": 5}):
        refused = browser.post(f"{url}/mcp", json=rpc("initialize", params), headers=ACCEPT)
        assert "mcp-session-id" not in refused.headers
        assert (refused.json()["id"], refused.json()["error"]["code"]) == (1, -32602)
    Session(browser, url)
    page = browser.get(f"{url}/metrics").text
    assert "mcp_sessions 1.0" in page
    assert "mcp_sessions_limit 1.0" in page


async def test_a_handle_is_its_makers_alone(start: Start, connect: Connect) -> None:
    url = start(trust_identity=True)
    async with connect(url, MODERN, ALICE) as alice, connect(url, MODERN, BOB) as bob:
        made = await alice.call_tool("echo", {"message": "hidden", "handle": "new"})
        assert made.structured_content is not None
        handle = made.structured_content["handle"]
        assert made.structured_content["remembered_for"] == "handle"
        replayed = await alice.call_tool("replayLastEcho", {"handle": handle})
        assert replayed.structured_content == {"message": "hidden", "remembered_for": "handle"}
        stolen = await bob.call_tool("replayLastEcho", {"handle": handle})
        unknown = await bob.call_tool("replayLastEcho", {"handle": "f" * 43})
        assert stolen.is_error is True
        assert stolen.content == unknown.content
        assert (await bob.call_tool("echo", {"message": "over", "handle": handle})).is_error is True
        again = await alice.call_tool("replayLastEcho", {"handle": handle})
        assert again.structured_content == replayed.structured_content
        info = await alice.call_tool("sessionInfo", {"handle": handle})
        assert handle not in json.dumps(info.model_dump(mode="json"))


async def test_a_handle_of_nobody_is_for_who_knows_it(start: Start, connect: Connect) -> None:
    async with connect(start(), MODERN) as client:
        made = await client.call_tool("echo", {"message": "x", "handle": "new"})
        assert made.structured_content is not None
        replay = await client.call_tool("replayLastEcho", {"handle": made.structured_content["handle"]})
        assert replay.structured_content == {"message": "x", "remembered_for": "handle"}


def test_state_that_is_away_is_503_and_said_by_health(start: Start, browser: httpx.Client) -> None:
    url = start(echo_state_url="redis://127.0.0.1:1/0")
    assert browser.get(f"{url}/health").status_code == 503
    refused = browser.post(f"{url}/mcp", json=rpc("initialize", HELLO), headers=ACCEPT)
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) > 0
    assert "127.0.0.1" not in refused.text


class Slow:
    """A server whose tool says something, waits for the test, and answers."""

    def __init__(self) -> None:
        self.go = threading.Event()

    async def call(
        self, context: ServerRequestContext[Any, Any], params: CallToolRequestParams
    ) -> CallToolResult:
        await context.session.send_log_message("info", "halfway", related_request_id=context.request_id)
        await anyio.to_thread.run_sync(self.go.wait)
        return CallToolResult(content=[TextContent(text="done")])


@pytest.mark.filterwarnings("ignore:The logging capability")
@pytest.mark.parametrize("there", [False, True], ids=["at the same replica", "at another replica"])
@pytest.mark.parametrize("store", ["sqlite", "redis"])
async def test_a_broken_stream_is_taken_up_with_its_last_event_id(
    store: str, there: bool, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    slow = Slow()
    state = f"sqlite:///{tmp_path / 'echo.db'}" if store == "sqlite" else request.getfixturevalue("redis_url")
    settings = Settings.load(echo_state_url=state)

    def replica() -> FastAPI:
        server: Server[Any] = Server("slow", on_call_tool=slow.call)
        store = connect_store(settings.echo_state_url, settings.session_timeout)
        return with_sessions(Toolbox([], settings), server, store, settings)

    with running(replica()) as one, running(replica()) as two:
        async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
            opened = await http.post(f"{one}/mcp", json=rpc("initialize", HELLO), headers=ACCEPT)
            headers = ACCEPT | {
                "Mcp-Session-Id": opened.headers["mcp-session-id"],
                "MCP-Protocol-Version": "2025-11-25",
            }
            last = ""
            call = rpc("tools/call", {"name": "x"})
            async with http.stream("POST", f"{one}/mcp", json=call, headers=headers) as stream:
                async for line in stream.aiter_lines():
                    last = line.partition(":")[2].strip() if line.startswith("id:") else last
                    if "halfway" in line:
                        break
            listen = headers | {"Accept": "text/event-stream", "Last-Event-ID": last}
            async with http.stream("GET", f"{two if there else one}/mcp", headers=listen) as stream:
                assert stream.status_code == 200
                slow.go.set()  # only now: the rest comes while the stream is open again
                found = "".join([line async for line in stream.aiter_lines()])
    assert "done" in found
    assert '"id":1' in found
    assert "halfway" not in found


@pytest.mark.parametrize("own", ["new", "", "x" * 201])
async def test_handles_that_name_nothing(start: Start, connect: Connect, own: str) -> None:
    async with connect(start(), MODERN) as client:
        assert (await client.call_tool("replayLastEcho", {"handle": own})).is_error is True
